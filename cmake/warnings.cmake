# One interface target carries warnings, hardening and sanitizers; everything of ours links it.
add_library(wh_flags INTERFACE)
target_compile_options(wh_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla
  -Wundef -Wpointer-arith -Wcast-align -Wwrite-strings)
if(WH_WERROR)
  target_compile_options(wh_flags INTERFACE -Werror)
endif()
# The client library shows its users what is marked WH_API and nothing else.
target_compile_options(wh_flags INTERFACE -fvisibility=hidden)
target_compile_definitions(wh_flags INTERFACE _GNU_SOURCE)
# The SDK's public headers are ours too: errors and encodings are defined there, once.
target_include_directories(wh_flags INTERFACE ${CMAKE_SOURCE_DIR}
                                              ${CMAKE_SOURCE_DIR}/client-sdk/include)
# No path of the machine that built it ends up in a binary.
target_compile_options(wh_flags INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
