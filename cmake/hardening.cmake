# What turns a memory bug into a crash instead of an exploit.  tests/support/hardening.sh reads the
# result back from the finished binary, because a flag that was dropped makes no noise.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckPIESupported)

check_pie_supported(LANGUAGES C)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  string(MAKE_C_IDENTIFIER "WH_HAS${flag}" has_flag)
  check_c_compiler_flag(${flag} ${has_flag})
  if(${has_flag})
    target_compile_options(wh_flags INTERFACE ${flag})
  endif()
endforeach()
target_link_options(wh_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)

# Fortification needs the optimiser, and AddressSanitizer does the same checks better.  Level 3
# (sizes known only at run time) needs gcc 12 or clang 9 and glibc 2.34; the C library tells.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT WH_SANITIZE AND NOT WH_BUILD_FUZZERS)
  set(CMAKE_REQUIRED_FLAGS "-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
  check_c_source_compiles("
    #include <features.h>
    #if __USE_FORTIFY_LEVEL < 3
    #error level 3 is not supported
    #endif
    int main(void) { return 0; }" WH_HAS_FORTIFY_3)
  unset(CMAKE_REQUIRED_FLAGS)
  set(fortify_level 2)
  if(WH_HAS_FORTIFY_3)
    set(fortify_level 3)
  endif()
  target_compile_options(wh_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${fortify_level})
endif()
