# Debian packages of the client library and wh: `./dev package`.  Names, sections and the split follow
# Debian's policy for libraries, so that these could be replaced by Debian's own.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME wirehub)
set(CPACK_PACKAGE_VENDOR "Wirehub")
set(CPACK_PACKAGE_CONTACT "Wirehub developers <wirehub@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_OUTPUT_FILE_PREFIX ${CMAKE_BINARY_DIR}/packages)
set(CPACK_COMPONENTS_ALL libwirehub libwirehub-dev wh)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR}/lib)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# Code stays where debuggers look for it; the paths in it are those of the source tree.
set(CPACK_BUILD_SOURCE_DIRS ${CMAKE_SOURCE_DIR})

set(CPACK_DEBIAN_LIBWIREHUB_PACKAGE_NAME libwirehub${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_LIBWIREHUB_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBWIREHUB_DEBUGINFO_PACKAGE ON)
set(CPACK_DEBIAN_LIBWIREHUB_PACKAGE_SUGGESTS
    "libwebsockets-evlib-uv, libwebsockets-evlib-ev, libwebsockets-evlib-glib")
set(CPACK_COMPONENT_LIBWIREHUB_DESCRIPTION
"client of the Centrifuge protocol
 Real-time messages over WebSocket for C programs: subscriptions with recovery,
 publications, presence and calls, from Wirehub and Centrifugo servers.")

set(CPACK_DEBIAN_LIBWIREHUB-DEV_PACKAGE_NAME libwirehub-dev)
set(CPACK_DEBIAN_LIBWIREHUB-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBWIREHUB-DEV_PACKAGE_DEPENDS
    "libwirehub${PROJECT_VERSION_MAJOR} (= ${PROJECT_VERSION}-1), libwebsockets-dev, libssl-dev")
set(CPACK_COMPONENT_LIBWIREHUB-DEV_DESCRIPTION
"client of the Centrifuge protocol (development files)
 Headers, static library, pkg-config and CMake files and manual pages of
 libwirehub, the C client of Wirehub and Centrifugo servers.")

set(CPACK_DEBIAN_WH_PACKAGE_NAME wh)
set(CPACK_DEBIAN_WH_PACKAGE_SECTION net)
set(CPACK_DEBIAN_WH_PACKAGE_DEPENDS "libwirehub${PROJECT_VERSION_MAJOR} (= ${PROJECT_VERSION}-1)")
set(CPACK_DEBIAN_WH_DEBUGINFO_PACKAGE ON)
set(CPACK_COMPONENT_WH_DESCRIPTION
"real-time messages from a shell
 Subscribe, publish, call, measure and look into the wire: a command line for
 Wirehub and Centrifugo servers.")

# What policy wants beside the files: who holds the rights, and what changed.
include(GNUInstallDirs)
set(debian_changelog ${CMAKE_BINARY_DIR}/changelog.Debian)
string(TIMESTAMP debian_date "%a, %d %b %Y %H:%M:%S +0000" UTC) # of SOURCE_DATE_EPOCH, if that is set
file(WRITE ${debian_changelog} "wirehub (${PROJECT_VERSION}-1) unstable; urgency=medium\n\n  \
* What is new stands in the upstream changelog.\n\n -- ${CPACK_PACKAGE_CONTACT}  ${debian_date}\n")
add_custom_command(OUTPUT ${debian_changelog}.gz
  COMMAND gzip -9nkf ${debian_changelog} DEPENDS ${debian_changelog} VERBATIM)
add_custom_target(debian_changelog ALL DEPENDS ${debian_changelog}.gz)
file(WRITE ${CMAKE_BINARY_DIR}/copyright "Wirehub
Copyright: 2026 the Wirehub developers

Licensed under the Apache License, Version 2.0.  On Debian systems its full text is in
/usr/share/common-licenses/Apache-2.0.\n")
# ldconfig runs by a trigger, once for all packages of an installation.
file(WRITE ${CMAKE_BINARY_DIR}/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIBWIREHUB_PACKAGE_CONTROL_EXTRA ${CMAKE_BINARY_DIR}/triggers)
foreach(component libwirehub libwirehub-dev wh)
  string(TOUPPER ${component} upper)
  set(doc ${CMAKE_INSTALL_DATADIR}/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  install(FILES ${CMAKE_BINARY_DIR}/copyright DESTINATION ${doc} COMPONENT ${component})
  install(FILES ${debian_changelog}.gz DESTINATION ${doc} COMPONENT ${component})
endforeach()

include(CPack)
