/*
 * Our deltas for tests in other languages: for each line `MODE SOURCE TARGET` on standard input
 * (mode "bytes" or "utf8", the others in base64, "-" for nothing) the patch in base64 on standard
 * output.
 */
#include "common/base/base64.h"
#include "common/protocol/delta.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn static void fail(const char *what, enum wh_err err)
{
    fprintf(stderr, "delta_tool: %s: %s\n", what, wh_err_text(err));
    exit(1);
}

static struct wh_slice decode(const char *word, struct wh_arena *arena)
{
    struct wh_slice bytes = WH_SLICE_LITERAL("");
    if (strcmp(word, "-") == 0)
        return bytes;
    enum wh_err err = wh_base64_decode(WH_BASE64_STANDARD, wh_slice_from_str(word), arena, &bytes);
    if (err)
        fail(word, err);
    return bytes;
}

static void answer(char *line, struct wh_arena *arena)
{
    char *rest = NULL;
    const char *mode = strtok_r(line, " \n", &rest);
    const char *source = strtok_r(NULL, " \n", &rest);
    const char *target = strtok_r(NULL, " \n", &rest);
    if (!target)
        fail("a line", WH_EFORMAT);
    struct wh_buf patch = {0}, text = {0};
    bool is_text = strcmp(mode, "utf8") == 0;
    enum wh_err err = wh_delta_create(is_text ? WH_DELTA_UTF8 : WH_DELTA_BYTES,
                                      decode(source, arena), decode(target, arena), &patch);
    if (err)
        fail("create", err);
    wh_base64_encode(WH_BASE64_STANDARD, wh_buf_slice(&patch), &text);
    puts(wh_buf_cstr(&text));
    wh_buf_deinit(&patch);
    wh_buf_deinit(&text);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    struct wh_arena arena = {0};
    while (getline(&line, &room, stdin) > 0) {
        answer(line, &arena);
        wh_arena_reset(&arena);
    }
    wh_arena_deinit(&arena);
    free(line);
    return fflush(stdout) == 0 && !ferror(stdin) ? 0 : 1;
}
