target_link_libraries(svc_demo PRIVATE m)
