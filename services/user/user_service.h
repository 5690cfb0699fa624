/*
 * What the handlers of wirehub-user share: its options, its state, and each
 * other's declarations for the table in main.c.
 */
#ifndef SERVICES_USER_USER_SERVICE_H
#define SERVICES_USER_USER_SERVICE_H

#include "services/core/service.h"
#include "services/user/key_ring.h"
#include "services/user/password.h"
#include "services/user/refresh.h"
#include "services/user/throttle.h"

struct user_settings {
    struct {
        uint64_t cost;
    } password;
    struct {
        char *sealing_secret;          /* KEYS_SECRET_MIN bytes at least */
        char *previous_sealing_secret; /* NULL = none */
        char *issuer;
        char *audience; /* NULL or "" = the claim is left out */
        struct key_rule keys;
        uint64_t refresh_ms; /* how long a refresh token is good */
        uint64_t session_ms; /* how long a session can be kept going with them */
    } token;
    struct {
        struct throttle_rule email;
        struct throttle_rule peer;
    } throttle;
    struct {
        uint64_t history_size;
        uint64_t history_ttl_ms;
    } live;
};

/* Immutable but for the ring. */
struct user_state {
    const struct user_settings *settings;
    char dummy_hash[PASSWORD_HASH_MAX]; /* of the password of accounts that are not there */
    unsigned char refresh_key[REFRESH_KEY_BYTES];
    struct key_ring ring;
};

svc_handler users_register;
svc_handler users_login;
svc_handler users_refresh;
svc_handler users_logout;
svc_handler users_me;
svc_handler users_update;
svc_handler users_set_roles;
svc_handler users_rotate_key;

/* Jobs. */
uint32_t users_keep_keys(struct svc_ctx *ctx);
uint32_t users_purge(struct svc_ctx *ctx);

/*
 * One try from the buckets of the caller's address and, unless absent, of `email` (normalized).
 * 0, or what to return: 429 with the seconds to wait.
 */
uint32_t users_throttle(struct svc_ctx *ctx, const struct wh_rpc_call *call, struct wh_slice email);

/* The id in the token that called; absent when it is none of ours. */
struct wh_slice users_caller(const struct wh_rpc_call *call);

#endif
