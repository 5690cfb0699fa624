/*
 * Nodes among themselves: who is there, and calls that every node answers.
 *
 * A node says that it is there every CONTROL_HELLO_MS and is forgotten after
 * CONTROL_FORGET_MS of silence.  A call goes to all nodes, the asking one
 * included, which does its own part by the same way; it is over when every
 * known node has answered, or after CONTROL_TIMEOUT_MS.
 *
 * Messages travel by broker->control, with the memory broker within this
 * process.  One thread.
 */
#ifndef HUB_CONTROL_H
#define HUB_CONTROL_H

#include "common/protocol/codes.h"
#include "hub/api_model.h"
#include "hub/node.h"

enum {
    CONTROL_HELLO_MS = 3000,
    CONTROL_FORGET_MS = 7000,
    CONTROL_TIMEOUT_MS = 1000,
    CONTROL_SUBSCRIBE_TIMEOUT_MS = 4000, /* the broker has 2 s for each of its steps */
    CONTROL_ANSWER_BYTES_MAX = 32 * 1024 * 1024
};

struct control;

/* What every node is asked to do: the one that is set. */
struct control_question {
    struct api_disconnect_request *disconnect;
    struct api_unsubscribe_request *unsubscribe;
    struct api_subscribe_request *subscribe;
    struct api_refresh_request *refresh;
    struct api_revoke_token_request *revoke_token;
    struct api_invalidate_user_tokens_request *invalidate_user_tokens;
    struct api_channels_request *channels;
    struct wh_empty *info;
};

struct control_channels {
    WH_MESSAGE_MAP(struct api_channel_info) channels;
};

struct control_answer {
    uint32_t code;                     /* 0 = done */
    struct api_node *node;             /* to info */
    struct control_channels *channels; /* to channels */
};

/* The answer of one node, borrowed until it returns. */
typedef void control_answered(void *user, const struct control_answer *answer);

/* The end of a call: WH_NO_ERROR when all have answered so, else the first code of them; when some
 * did not answer `silent` says how many. */
typedef void control_done(void *user, enum wh_code code, size_t silent);

WH_MUST_CHECK enum wh_err control_new(struct node *node, struct control **out_control);

/* Tell the others not to wait for this node any more: its connections are gone.  False when that
 * was said before. */
bool control_leave(struct control *control);

/* Calls under way end with WH_ERROR_INTERNAL. */
void control_close(struct control *control);
void control_free(struct control *control); /* NULL is fine */

/* From the broker. */
void control_receive(struct control *control, struct wh_slice message);
void control_link_returned(struct control *control);

/* Ask all nodes.  `answered` may be NULL; `done` is called once, maybe before this
 * returns. */
void control_ask(struct control *control,
                 const struct control_question *question,
                 control_answered *answered,
                 control_done *done,
                 void *user);

#endif
