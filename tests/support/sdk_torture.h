/*
 * A whole program of the library, again and again with other allocations failing, through the
 * public functions only.  Two worlds use it: the runtime with a service without sockets, and the
 * real transport against a server on a socket.
 *
 * Of each life it is claimed: every function says WH_OK, WH_ENOMEM or what follows from an earlier
 * failure; every callback, and every user_free, comes exactly once; with memory again everything
 * works; nothing stays allocated; nothing waits for longer than TORTURE_LIMIT_S.
 */
#ifndef WH_TEST_SDK_TORTURE_H
#define WH_TEST_SDK_TORTURE_H

#include <wirehub/wirehub.h>

#include <stdbool.h>
#include <stddef.h>

enum { TORTURE_LIMIT_S = 30 };

struct torture {
    enum wh_mode mode; /* LOOP is pumped */
    const char *url;   /* a server as in fake_server.h */
    bool goes_on;      /* not one allocation fails, but every one from a number on */
    bool ends_in_need; /* the client is freed while they fail; else it has to work again before */
    size_t step;       /* every `step`th number; 0 = each */
};

/* Until a life has passed without a failure.  Returns how many failed. */
size_t torture(const struct torture *torture);

#endif
