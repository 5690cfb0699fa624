if(WH_SANITIZE)
  target_compile_options(wh_flags INTERFACE -fsanitize=${WH_SANITIZE} -fno-omit-frame-pointer
                                            -fno-sanitize-recover=all)
  target_link_options(wh_flags INTERFACE -fsanitize=${WH_SANITIZE})
endif()
