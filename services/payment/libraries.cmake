target_link_libraries(svc_payment PRIVATE PkgConfig::LIBPQ)
