# cmake -DIN=x.lua -DOUT=x.c -DNAME=x -P embed_lua.cmake: a script as bytes with the SHA-1 that
# EVALSHA calls it by.  Bytes, not a string: compilers need not take long literals.
file(READ ${IN} hex HEX)
file(SHA1 ${IN} sha1)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n"
       bytes "${bytes}")
file(WRITE ${OUT} "/* Made from ${NAME}.lua by cmake/embed_lua.cmake. */
#include \"common/io/redis_script.h\"

static const unsigned char text[] = {
${bytes}
};

const struct wh_redis_script_source wh_redis_script_${NAME} = {
    \"${NAME}\", \"${sha1}\", {(const char *)text, sizeof(text)}};
")
