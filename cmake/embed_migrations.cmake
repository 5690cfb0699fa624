cmake_minimum_required(VERSION 3.25) # for its policies
# cmake -DIN=folder -DOUT=x.c -P embed_migrations.cmake: NNNN_name.sql in the order of their numbers.
# -DNAME=variable and -DPREFIX=text before the name of each are for the core's own.
# Bytes, not strings: compilers need not take long literals.
file(GLOB files ${IN}/*.sql)
list(SORT files)
if(NOT NAME)
  set(NAME svc_migrations)
endif()
set(texts "")
set(rows "")
set(numbers "")
foreach(file ${files})
  get_filename_component(name ${file} NAME_WE)
  if(NOT name MATCHES "^([0-9][0-9][0-9][0-9])_[a-z0-9_]+$")
    message(FATAL_ERROR "${file}: a migration is named like 0001_orders.sql")
  endif()
  if(CMAKE_MATCH_1 IN_LIST numbers)
    message(FATAL_ERROR "${file}: the number ${CMAKE_MATCH_1} is there twice")
  endif()
  list(APPEND numbers ${CMAKE_MATCH_1})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n"
         bytes "${bytes}")
  string(APPEND texts "static const unsigned char text_${name}[] = {\n${bytes}0};\n\n")
  string(APPEND rows "    {\"${PREFIX}${name}\", {(const char *)text_${name}, sizeof text_${name} - 1}},\n")
endforeach()
file(WRITE ${OUT} "/* Made from migrations/ by cmake/embed_migrations.cmake. */
#include \"services/core/migrate.h\"

${texts}const struct svc_migration ${NAME}[] = {
${rows}    {0},
};
")
