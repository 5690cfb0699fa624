#include "client-sdk/cli/app.h"
#include "client-sdk/cli/commands.h"
#include "client-sdk/cli/frame_text.h"

#include <stdio.h>

enum { FRAME_BYTES_MAX = 16 * 1024 * 1024, ENCODING_AUTO = 0 };

static void show(struct app *app, enum wh_encoding encoding, const struct frame_message *message)
{
    const char *side = message->side == FRAME_SIDE_COMMAND ? "command" : "reply";
    struct wh_buf *line;
    if (app->out.json) {
        line = output_object(&app->out, side);
        output_text(line, "encoding", wh_encoding_name(encoding));
        wh_buf_append_str(line, ",\"message\":");
        wh_buf_append_slice(line, message->json);
        output_object_end(&app->out, OUTPUT_DATA);
        return;
    }
    line = output_line(&app->out, OUTPUT_DATA, 0);
    wh_buf_printf(line, "%s ", side);
    if (app->out.pretty)
        output_pretty(line, message->json);
    else
        output_safe(line, message->json);
    output_line_end(&app->out, OUTPUT_DATA);
}

int run_decode(struct app *app, int argc, char **argv)
{
    const struct settings *settings = &app->settings;
    struct wh_slice text, rest;
    struct frame_message message;
    enum wh_encoding encoding = WH_ENCODING_JSON;
    bool is_argument = argc > 0 && strcmp(argv[1], "-") != 0;
    if (is_argument)
        text = wh_slice_from_str(argv[1]);
    else if (app_read_file(app, "-", FRAME_BYTES_MAX, &text))
        return CLI_ERROR;
    if (frame_bytes((enum frame_input)settings->input, text, &app->arena, &rest) || rest.len == 0)
        return app_complain(app, CLI_ERROR, "there is nothing here that could be a frame");
    if (settings->from != ENCODING_AUTO)
        encoding = (enum wh_encoding)(settings->from - 1);
    else if (frame_guess(rest, (enum frame_side)settings->side, &app->arena, &encoding))
        return app_complain(app, CLI_ERROR,
                            "neither JSON nor MessagePack nor Protobuf of this protocol");
    size_t size = rest.len;
    enum wh_err err;
    while ((err = frame_next(encoding, (enum frame_side)settings->side, &rest, &app->arena,
                             &message)) == WH_OK)
        show(app, encoding, &message);
    if (err == WH_EEND)
        return CLI_OK;
    return app_complain(app, CLI_ERROR, "malformed %s from byte %zu of %zu on",
                        wh_encoding_name(encoding), size - rest.len, size);
}
