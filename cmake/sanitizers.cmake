# Instrumented builds: sanitizers, libFuzzer, gcov.
if(WH_SANITIZE)
  target_compile_options(wh_flags INTERFACE -fsanitize=${WH_SANITIZE} -fno-omit-frame-pointer
                                            -fno-sanitize-recover=all)
  target_link_options(wh_flags INTERFACE -fsanitize=${WH_SANITIZE})
endif()
if(WH_BUILD_FUZZERS)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "WH_BUILD_FUZZERS needs clang: cmake --preset fuzz")
  endif()
  # Coverage feedback in the code under test; the fuzz targets alone link libFuzzer's main.
  target_compile_options(wh_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(WH_COVERAGE)
  target_compile_options(wh_flags INTERFACE --coverage)
  target_link_options(wh_flags INTERFACE --coverage)
endif()
