/*
 * What one service announced about itself: its methods, parsed from the JSON
 * that it wrote into Redis and found by name.  Pure.
 */
#ifndef HUB_RPC_METHODS_H
#define HUB_RPC_METHODS_H

#include "hub/rpc.h"

enum { RPC_ANNOUNCEMENT_BYTES_MAX = 1024 * 1024 };

struct rpc_methods;

/*
 * Everything is copied.  Methods that cannot be used are left out and counted in `*out_skipped`: of
 * another service, malformed, announced twice, or with an access rule that is none (whom it was to
 * keep out is not known).
 * WH_EFORMAT: not such a JSON object; WH_ELIMIT: too long, or more than RPC_METHODS_MAX; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err rpc_methods_parse(struct wh_slice service,
                                            struct wh_slice json,
                                            struct rpc_methods **out_methods,
                                            size_t *out_skipped);
void rpc_methods_free(struct rpc_methods *methods); /* NULL is fine */

/*
 * NULL when absent, or when `methods` is NULL.  What every service answers about itself,
 * `<service>.$svc.ping`, `.info` and `.stats`, is there without being announced, for the role
 * `admin`; announced, it has the rule that it was announced with.
 */
const struct rpc_method *rpc_methods_find(const struct rpc_methods *methods, struct wh_slice name);

/* What was announced beside methods, and how many of those can be used; "" and 0 when NULL. */
struct wh_slice rpc_methods_version(const struct rpc_methods *methods);
size_t rpc_methods_count(const struct rpc_methods *methods);

/* The text that was parsed, to tell a new announcement from one that is known. */
struct wh_slice rpc_methods_source(const struct rpc_methods *methods);

#endif
