/*
 * A connection to Redis for a thread that has nothing else to do: commands
 * collect in one buffer, leave in one write, and their replies are waited for
 * in order.  Every wait has a time limit.  No reconnect: after an error the
 * owner closes it and opens another.
 *
 * Commands are arrays of byte strings (see redis.h).  One thread at a time.
 */
#ifndef WH_IO_REDIS_BLOCKING_H
#define WH_IO_REDIS_BLOCKING_H

#include "common/base/buf.h"
#include "common/io/redis_reply.h"

enum { WH_REDIS_BLOCKING_REASON_MAX = 192 };

struct wh_redis_blocking_options {
    const char *address;  /* see redis_address.h */
    const char *user;     /* NULL or "" = the default user */
    const char *password; /* NULL or "" = no AUTH */
    uint64_t db;          /* SELECT; 0 = none */
    uint32_t timeout_ms;  /* connecting and the handshake; 0 = 2000; a name look-up comes on top */
};

struct wh_redis_blocking;

/*
 * Connect, authenticate, select.
 * WH_EINVAL: the address cannot be understood; WH_EIO, WH_ETIMEOUT: not reached; WH_EDENIED: Redis
 * refused; WH_ENOMEM.  What happened is in `reason`, "connect: Connection refused".
 */
WH_MUST_CHECK enum wh_err wh_redis_blocking_open(const struct wh_redis_blocking_options *options,
                                                 char reason[WH_REDIS_BLOCKING_REASON_MAX],
                                                 struct wh_redis_blocking **out_redis);
void wh_redis_blocking_close(struct wh_redis_blocking *redis); /* NULL is fine */

/* CLIENT ID of the connection, for CLIENT UNBLOCK by somebody else; 0 = Redis does not tell. */
uint64_t wh_redis_blocking_client_id(const struct wh_redis_blocking *redis);

/* Queue one command; failures to grow are told by the next call below. */
void wh_redis_blocking_append(struct wh_redis_blocking *redis,
                              const struct wh_slice *argv,
                              size_t argc);

/*
 * Write what is queued, then wait for the next reply, which is borrowed until the next call.  An
 * error reply of Redis is WH_OK with a reply of that type.
 * WH_EIO: the connection broke; WH_ETIMEOUT: nothing came within `timeout_ms`; WH_EFORMAT,
 * WH_ELIMIT: no RESP2, or more than wh_redis takes; WH_ENOMEM.  The connection is of no use then.
 */
WH_MUST_CHECK enum wh_err wh_redis_blocking_reply(struct wh_redis_blocking *redis,
                                                  uint32_t timeout_ms,
                                                  const struct wh_redis_reply **out_reply);

#endif
