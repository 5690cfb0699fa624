/*
 * What wh says.  A line is begun, filled and ended; text and --json are two
 * ways to show the same event, chosen here once for each kind.
 *
 * What was asked for goes to standard output (OUTPUT_DATA), what else happens
 * to standard error (OUTPUT_NOTE, silent with --quiet).  Text from strangers
 * never reaches a terminal with control characters in it.
 */
#ifndef WH_CLI_OUTPUT_H
#define WH_CLI_OUTPUT_H

#include "common/base/buf.h"

#include <wirehub/call.h>

enum output_stream { OUTPUT_DATA, OUTPUT_NOTE };

struct output {
    bool json, pretty, quiet, muted; /* muted: the program is ending */
    bool has_colour[2];              /* by stream */
    struct wh_buf line;
};

void output_init(struct output *out, bool json, bool pretty, bool quiet);
void output_deinit(struct output *out);

/* Give what was written to the kernel.  false: nobody reads it any more. */
bool output_flush(void);

/*
 * Objects: begin, members, end.  Members are written with their comma; absent strings and data are
 * left out.
 */
struct wh_buf *output_object(struct output *out, const char *type);
void output_text(struct wh_buf *line, const char *key, const char *value);
void output_number(struct wh_buf *line, const char *key, uint64_t value);
void output_fraction(struct wh_buf *line, const char *key, double value);
void output_bool(struct wh_buf *line, const char *key, bool value);
/* As `key` when it is JSON or can be made so, else as `key`_b64. */
void output_data(struct wh_buf *line, const char *key, const struct wh_data *data);
void output_object_end(struct output *out, enum output_stream stream);

/* Lines of text; `time_ms` since 1970, 0 = no time, −1 = now. */
struct wh_buf *output_line(struct output *out, enum output_stream stream, int64_t time_ms);
void output_line_end(struct output *out, enum output_stream stream);

/* "12:00:00.123 ~ text": `mark` says good (+), bad (!), between (~) or neither (.). */
void output_note(struct output *out, enum output_stream stream, char mark, const char *format, ...)
    WH_PRINTF(4, 5);

/* Text with control characters made visible. */
void output_safe(struct wh_buf *line, struct wh_slice text);

/* A payload for people: JSON as it is, or spread; bytes as text when they are, else base64. */
void output_payload(struct output *out, struct wh_buf *line, const struct wh_data *data);

/* A payload's bytes as they are, MessagePack as JSON where that can be. */
void output_raw(struct wh_buf *line, const struct wh_data *data);

/* Events.  A publication that comes live has the time of its coming if it tells none. */
void output_publication(struct output *out,
                        const struct wh_publication *publication,
                        const char *epoch, /* NULL = not known */
                        bool is_live);
/* "join", "leave" or "presence". */
void output_client(struct output *out,
                   const char *type,
                   const char *channel,
                   const struct wh_client_info *info);

/* Valid JSON, two blanks a level. */
void output_pretty(struct wh_buf *line, struct wh_slice json);

/* "2026-11-25T12:00:01.123Z", and the local "12:00:01.123". */
void output_utc(struct wh_buf *line, int64_t time_ms);
void output_clock(struct wh_buf *line, int64_t time_ms);

#endif
