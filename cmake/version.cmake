# Generates <wh_version.h> with WH_VERSION and WH_COMMIT, at build time so that it never lags behind
# a commit.  Link wh_version to include it; as few files as possible, for they rebuild per commit.
#
# This file is its own generator: included it defines the target, run with `cmake -P` it writes.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(WH_GENERATED_DIR ${CMAKE_BINARY_DIR}/generated)
  add_custom_target(wh_version_header
    BYPRODUCTS ${WH_GENERATED_DIR}/wh_version.h
    COMMAND ${CMAKE_COMMAND} -D SOURCE_DIR=${CMAKE_SOURCE_DIR} -D VERSION=${PROJECT_VERSION}
            -D OUTPUT=${WH_GENERATED_DIR}/wh_version.h -P ${CMAKE_CURRENT_LIST_FILE}
    COMMENT "" VERBATIM)
  add_library(wh_version INTERFACE)
  target_include_directories(wh_version INTERFACE ${WH_GENERATED_DIR})
  add_dependencies(wh_version wh_version_header)
  return()
endif()

# A git checkout answers for itself.  The file commit.txt is filled in by `git archive`, so a release
# tarball knows its commit too; any other copy says "unknown" rather than guess.  The search stops
# at our own top directory: a tarball unpacked inside somebody's repository is not that repository.
set(commit "unknown")
if(EXISTS ${SOURCE_DIR}/.git)
  execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --match=NeverATag
                  OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
                  RESULT_VARIABLE failed)
  if(NOT failed AND described)
    set(commit ${described})
  endif()
else()
  file(READ ${SOURCE_DIR}/cmake/commit.txt archived)
  string(STRIP "${archived}" archived)
  if(archived MATCHES "^[0-9a-f]+$")
    set(commit ${archived})
  endif()
endif()

set(text "#ifndef WH_VERSION_H\n#define WH_VERSION_H\n\n")
string(APPEND text "#define WH_VERSION \"${VERSION}\"\n#define WH_COMMIT \"${commit}\"\n\n#endif\n")
set(current "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} current)
endif()
if(NOT current STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
