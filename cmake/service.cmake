# wh_add_service(NAME FOLDER): the library svc_<NAME> of every .c file in FOLDER but main.c, and the
# program service_<NAME> (output wirehub-<NAME>) with the migrations in FOLDER/migrations.
function(wh_add_service name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.c)
  list(REMOVE_ITEM sources ${folder}/main.c)
  if(sources)
    add_library(svc_${name} STATIC ${sources})
    target_link_libraries(svc_${name} PUBLIC svc_core)
    set(library svc_${name})
  else()
    set(library svc_core)
  endif()
  file(GLOB migrations CONFIGURE_DEPENDS ${folder}/migrations/*.sql)
  set(embedded)
  if(migrations)
    set(embedded ${CMAKE_CURRENT_BINARY_DIR}/migrations_${name}.c)
    add_custom_command(OUTPUT ${embedded}
      COMMAND ${CMAKE_COMMAND} -DIN=${folder}/migrations -DOUT=${embedded}
              -P ${CMAKE_SOURCE_DIR}/cmake/embed_migrations.cmake
      DEPENDS ${migrations} ${CMAKE_SOURCE_DIR}/cmake/embed_migrations.cmake VERBATIM)
  endif()
  add_executable(service_${name} ${folder}/main.c ${embedded})
  set_target_properties(service_${name} PROPERTIES OUTPUT_NAME wirehub-${name})
  target_link_libraries(service_${name} PRIVATE ${library} svc_core wh_flags)
endfunction()
