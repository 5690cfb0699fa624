/*
 * wirehub-user: accounts, passwords, sessions, tokens.  Tables, and what is
 * made once at the start; docs/SERVICES.md has the chapter.
 */
#include "common/base/list.h"
#include "services/core/service.h"
#include "services/user/user_service.h"

#include <openssl/crypto.h>

#include <stddef.h>
#include <stdlib.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define AT(member)      offsetof(struct user_settings, member)
#define YEAR_MS         31536000000

/* How long a hub or anybody else may keep the set without asking again. */
#define JWKS_CACHE_CONTROL "public, max-age=300"

enum {
    HASHING_MAX = 2, /* log-ins and registrations at once: others must get through too */
    KEYS_EVERY_MS = 1000,
    PURGE_EVERY_MS = 600000,
};

/* clang-format off */
static const struct wh_option options[] = {
    {.name = "password.cost", .type = WH_OPTION_INTEGER, .offset = AT(password.cost),
     .default_text = "5", .min = PASSWORD_COST_MIN, .max = PASSWORD_COST_MAX,
     .help = "Work of one password hash on yescrypt's scale: each step doubles it. Hashes of "
             "another cost are made anew at the next log-in."},
    {.name = "token.sealing_secret", .type = WH_OPTION_STRING, .flags = WH_OPTION_SECRET,
     .offset = AT(token.sealing_secret), .min = KEYS_SECRET_MIN, .max = 1024,
     .help = "What the private signing keys in the database are sealed with: 32 bytes or more of "
             "randomness, the same for all instances."},
    {.name = "token.previous_sealing_secret", .type = WH_OPTION_STRING, .flags = WH_OPTION_SECRET,
     .offset = AT(token.previous_sealing_secret), .min = KEYS_SECRET_MIN, .max = 1024,
     .help = "The one before, while keys sealed with it are in use."},
    {.name = "token.issuer", .type = WH_OPTION_STRING, .offset = AT(token.issuer),
     .default_text = "wirehub-user", .min = 1, .max = 255,
     .help = "Claim `iss` of access tokens; the hub's `client.token.issuer`."},
    {.name = "token.audience", .type = WH_OPTION_STRING, .offset = AT(token.audience), .max = 255,
     .help = "Claim `aud`; empty leaves it out."},
    {.name = "token.access_ttl", .type = WH_OPTION_DURATION, .offset = AT(token.keys.token_ms),
     .default_text = "10m", .min = 1000, .max = 86400000,
     .help = "How long an access token is good. Nothing takes one back sooner."},
    {.name = "token.refresh_ttl", .type = WH_OPTION_DURATION, .offset = AT(token.refresh_ms),
     .default_text = "720h", .min = 1000, .max = YEAR_MS,
     .help = "How long a refresh token is good if it is not used."},
    {.name = "token.session_ttl", .type = WH_OPTION_DURATION, .offset = AT(token.session_ms),
     .default_text = "2160h", .min = 1000, .max = YEAR_MS,
     .help = "When the password is asked for again, however often tokens were refreshed."},
    {.name = "token.key_lifetime", .type = WH_OPTION_DURATION,
     .offset = AT(token.keys.lifetime_ms), .default_text = "720h", .min = 2000, .max = YEAR_MS,
     .help = "How long a signing key signs before the next one takes over."},
    {.name = "token.key_lead", .type = WH_OPTION_DURATION, .offset = AT(token.keys.lead_ms),
     .default_text = "2h", .min = 1000, .max = YEAR_MS,
     .help = "How long a key is published before it signs: longer than anybody caches the set "
             "(a hub: 1h)."},
    {.name = "throttle.email_burst", .type = WH_OPTION_INTEGER,
     .offset = AT(throttle.email.burst), .default_text = "10", .min = 1, .max = 1000000,
     .help = "Log-ins to one address at once."},
    {.name = "throttle.email_interval", .type = WH_OPTION_DURATION,
     .offset = AT(throttle.email.interval_ms), .default_text = "30s", .min = 1, .max = 86400000,
     .help = "After these, one more is allowed each time this has passed."},
    {.name = "throttle.peer_burst", .type = WH_OPTION_INTEGER, .offset = AT(throttle.peer.burst),
     .default_text = "60", .min = 1, .max = 1000000,
     .help = "Log-ins and registrations from one network address (IPv6: /64) at once."},
    {.name = "throttle.peer_interval", .type = WH_OPTION_DURATION,
     .offset = AT(throttle.peer.interval_ms), .default_text = "2s", .min = 1, .max = 86400000,
     .help = "Likewise."},
    {.name = "live.history_size", .type = WH_OPTION_INTEGER, .offset = AT(live.history_size),
     .default_text = "1000", .max = 1000000,
     .help = "`history_size` of the namespace `users` in the hub's configuration."},
    {.name = "live.history_ttl", .type = WH_OPTION_DURATION, .offset = AT(live.history_ttl_ms),
     .default_text = "24h", .max = YEAR_MS,
     .help = "Its `history_ttl`."},
};
/* clang-format on */

static const char *const admin[] = {"admin", NULL};

static const struct svc_method methods[] = {
    {.name = "users.v1.register",
     .handler = users_register,
     .access = SVC_ANONYMOUS,
     .max_inflight = HASHING_MAX},
    {.name = "users.v1.login",
     .handler = users_login,
     .access = SVC_ANONYMOUS,
     .max_inflight = HASHING_MAX},
    {.name = "users.v1.refresh", .handler = users_refresh, .access = SVC_ANONYMOUS},
    {.name = "users.v1.logout",
     .handler = users_logout,
     .access = SVC_ANONYMOUS,
     .idempotent = true},
    {.name = "users.v1.me", .handler = users_me, .tx = SVC_TX_READ, .idempotent = true},
    {.name = "users.v1.update",
     .handler = users_update,
     .max_inflight = HASHING_MAX,
     .idempotent = true},
    {.name = "users.v1.set_roles",
     .handler = users_set_roles,
     .access = SVC_ROLE,
     .roles = admin,
     .tx = SVC_TX_WRITE,
     .idempotent = true},
    {.name = "users.v1.rotate_key",
     .handler = users_rotate_key,
     .access = SVC_ROLE,
     .roles = admin},
    {0},
};

static const struct svc_job jobs[] = {
    {.name = "keys", .every_ms = KEYS_EVERY_MS, .handler = users_keep_keys},
    {.name = "purge", .every_ms = PURGE_EVERY_MS, .handler = users_purge, .is_exclusive = true},
    {0},
};

static unsigned write_jwks(void *state, struct wh_buf *body)
{
    return key_ring_write(&((struct user_state *)state)->ring, body) ? 200 : 503;
}

static const struct svc_route routes[] = {
    {.path = "/.well-known/jwks.json",
     .type = "application/jwk-set+json",
     .cache_control = JWKS_CACHE_CONTROL,
     .write = write_jwks},
    {0},
};

static void write_unready(void *state, struct wh_buf *out)
{
    struct wh_buf set = {0};
    if (!key_ring_write(&((struct user_state *)state)->ring, &set))
        wh_buf_append_str(out, "keys: none read from the database yet\n");
    wh_buf_deinit(&set);
}

static void check(const void *own, struct wh_buf *problems)
{
    const struct user_settings *settings = own;
    if (!settings->token.sealing_secret)
        wh_buf_append_str(problems, "token.sealing_secret: is needed; `openssl rand -base64 48` "
                                    "makes one\n");
    if (settings->token.keys.lifetime_ms < 2 * settings->token.keys.lead_ms)
        wh_buf_append_str(problems, "token.key_lifetime: must be at least twice token.key_lead\n");
    if (settings->token.session_ms < settings->token.refresh_ms)
        wh_buf_append_str(problems, "token.session_ttl: must not be below token.refresh_ttl\n");
}

static void stop(void *own)
{
    struct user_state *state = own;
    key_ring_deinit(&state->ring);
    OPENSSL_cleanse(state, sizeof(*state));
    free(state);
}

static bool start(const void *own, void **out_state)
{
    const struct user_settings *settings = own;
    struct user_state *state = calloc(1, sizeof(*state));
    if (!state)
        return false;
    state->settings = settings;
    const char *secret = settings->token.sealing_secret;
    enum wh_err err = key_ring_init(&state->ring, secret, settings->token.previous_sealing_secret);
    if (!err)
        err = keys_derive(wh_slice_from_str(secret), KEYS_PURPOSE_REFRESH, state->refresh_key);
    if (!err)
        err = password_dummy((unsigned)settings->password.cost, state->dummy_hash);
    if (err) {
        wh_log(WH_LOG_ERROR, "users", "start_failed", "reason=%s", wh_err_text(err));
        free(state);
        return false;
    }
    *out_state = state;
    return true;
}

int main(int argc, char **argv)
{
    return svc_main(argc, argv,
                    &(struct svc_def){
                        .name = "user",
                        .version = "1.0.0",
                        .description = "Accounts, passwords, sessions and tokens.",
                        .methods = methods,
                        .jobs = jobs,
                        .migrations = svc_migrations,
                        .options = options,
                        .option_count = COUNT_OF(options),
                        .settings_size = sizeof(struct user_settings),
                        .check = check,
                        .start = start,
                        .stop = stop,
                        .routes = routes,
                        .write_unready = write_unready,
                    });
}
