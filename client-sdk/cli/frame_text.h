/* Frames of the protocol as text: what `wh decode` is made of.  Pure. */
#ifndef WH_CLI_FRAME_TEXT_H
#define WH_CLI_FRAME_TEXT_H

#include "common/protocol/codec.h"

enum frame_input { FRAME_INPUT_AUTO, FRAME_INPUT_HEX, FRAME_INPUT_BASE64, FRAME_INPUT_RAW };
enum frame_side { FRAME_SIDE_AUTO, FRAME_SIDE_COMMAND, FRAME_SIDE_REPLY };

/*
 * The bytes that `text` stands for.  AUTO: hex (blanks and colons between are fine), else JSON as
 * it is, else base64 of either alphabet, else raw.  WH_EFORMAT: not what was asked for; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err frame_bytes(enum frame_input input,
                                      struct wh_slice text,
                                      struct wh_arena *arena,
                                      struct wh_slice *out_bytes);

struct frame_message {
    enum frame_side side; /* never AUTO */
    struct wh_slice json; /* payloads that are no JSON: {"data_b64":"…"} */
};

/*
 * The next message of the frame in `*rest`, as wh_decode; WH_EEND, WH_EFORMAT, WH_ENOMEM.
 * Side AUTO: the reading that keeps more of it.
 */
WH_MUST_CHECK enum wh_err frame_next(enum wh_encoding encoding,
                                     enum frame_side side,
                                     struct wh_slice *rest,
                                     struct wh_arena *arena,
                                     struct frame_message *out_message);

/* Which encoding all of the frame can be read as; WH_EFORMAT when none. */
WH_MUST_CHECK enum wh_err frame_guess(struct wh_slice frame,
                                      enum frame_side side,
                                      struct wh_arena *arena,
                                      enum wh_encoding *out_encoding);

#endif
