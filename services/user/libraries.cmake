target_link_libraries(svc_user PUBLIC PkgConfig::OPENSSL PRIVATE PkgConfig::LIBJWT
                                                                 PkgConfig::LIBCRYPT)
