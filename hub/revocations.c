/*
 * Two maps of the same kind of entry.  What has expired is found by a sweep
 * once a minute: entries are few, and an expired one does no harm, since its
 * token is past its time as well.
 */
#include "hub/revocations.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map.h"

struct revocation {
    struct wh_slice id; /* stored behind the struct */
    int64_t expire_at;
    int64_t issued_before; /* of a user's tokens */
};

struct revocations {
    struct wh_loop *loop;
    struct wh_timer sweep;
    struct wh_map tokens;
    struct wh_map users;
    bool is_loaded;
    void (*on_first_list)(void *user);
    void *user;
    bool is_stopped; /* the loop is to end: no more timers */
};

static bool is_over(const struct revocation *revocation, int64_t now_s)
{
    return revocation->expire_at != 0 && revocation->expire_at <= now_s;
}

/* Removing is not allowed while walking: one at a time, then from the start. */
static struct revocation *find_over(const struct wh_map *map, int64_t now_s)
{
    size_t cursor = 0;
    struct revocation *revocation;
    while ((revocation = wh_map_next(map, &cursor)) != NULL)
        if (is_over(revocation, now_s))
            return revocation;
    return NULL;
}

static void sweep_map(struct wh_map *map, int64_t now_s)
{
    struct wh_map kept = {0};
    size_t cursor = 0;
    struct revocation *revocation;
    if (find_over(map, now_s) == NULL)
        return;
    while ((revocation = wh_map_next(map, &cursor)) != NULL)
        if (!is_over(revocation, now_s) && wh_map_add(&kept, revocation->id, revocation)) {
            wh_map_deinit(&kept); /* out of memory: another time */
            return;
        }
    cursor = 0;
    while ((revocation = wh_map_next(map, &cursor)) != NULL)
        if (is_over(revocation, now_s))
            wh_free(revocation);
    wh_map_deinit(map);
    *map = kept;
}

static void on_sweep(struct wh_timer *timer)
{
    struct revocations *revocations = WH_CONTAINER_OF(timer, struct revocations, sweep);
    sweep_map(&revocations->tokens, wh_clock_wall_s());
    sweep_map(&revocations->users, wh_clock_wall_s());
    if (revocations->tokens.count + revocations->users.count > 0)
        wh_loop_timer_start(revocations->loop, timer, REVOCATION_SWEEP_MS);
}

enum wh_err revocations_new(struct wh_loop *loop,
                            bool is_loaded,
                            struct revocations **out_revocations)
{
    struct revocations *revocations = wh_calloc(1, sizeof(*revocations));
    if (revocations == NULL)
        return WH_ENOMEM;
    revocations->loop = loop;
    revocations->is_loaded = is_loaded;
    wh_timer_init(&revocations->sweep, on_sweep);
    *out_revocations = revocations;
    return WH_OK;
}

static void free_map(struct wh_map *map)
{
    size_t cursor = 0;
    void *revocation;
    while ((revocation = wh_map_next(map, &cursor)) != NULL)
        wh_free(revocation);
    wh_map_deinit(map);
}

void revocations_stop(struct revocations *revocations)
{
    revocations->is_stopped = true;
    wh_loop_timer_stop(revocations->loop, &revocations->sweep);
}

void revocations_free(struct revocations *revocations)
{
    if (revocations == NULL)
        return;
    revocations_stop(revocations);
    free_map(&revocations->tokens);
    free_map(&revocations->users);
    wh_free(revocations);
}

void revocations_on_first_list(struct revocations *revocations, void (*fn)(void *user), void *user)
{
    revocations->on_first_list = fn;
    revocations->user = user;
}

void revocations_set_loaded(struct revocations *revocations)
{
    bool is_first = !revocations->is_loaded;
    revocations->is_loaded = true;
    if (is_first && revocations->on_first_list &&
        revocations->tokens.count + revocations->users.count > 0)
        revocations->on_first_list(revocations->user);
}

enum revocation_verdict revocations_check(const struct revocations *revocations,
                                          const struct token_claims *claims)
{
    const struct revocation *token =
        claims->jti.len > 0 ? wh_map_get(&revocations->tokens, claims->jti) : NULL;
    const struct revocation *user = wh_map_get(&revocations->users, claims->user);
    int64_t now_s = wh_clock_wall_s();
    if (!revocations->is_loaded)
        return TOKEN_IS_UNDECIDED;
    if (token && !is_over(token, now_s))
        return TOKEN_IS_REVOKED;
    /* A token without `iat` may be of any time. */
    if (user && !is_over(user, now_s) && claims->iat < user->issued_before)
        return TOKEN_IS_REVOKED;
    return TOKEN_IS_GOOD;
}

/* The later of two ends, 0 being for ever. */
static int64_t later_end(int64_t a, int64_t b)
{
    if (a == 0 || b == 0)
        return 0;
    return a > b ? a : b;
}

static enum wh_err add(struct revocations *revocations,
                       struct wh_map *map,
                       struct wh_slice id,
                       int64_t *expire_at,
                       int64_t *issued_before)
{
    struct revocation *revocation = wh_map_get(map, id);
    if (revocation) {
        *expire_at = revocation->expire_at = later_end(revocation->expire_at, *expire_at);
        if (*issued_before > revocation->issued_before)
            revocation->issued_before = *issued_before;
        *issued_before = revocation->issued_before;
        return WH_OK;
    }
    if (revocations->tokens.count + revocations->users.count >= REVOCATIONS_MAX) {
        static struct wh_log_limit limit;
        wh_log_limited(&limit, WH_LOG_ERROR, "revocations", "list_full", "max=%d", REVOCATIONS_MAX);
        return WH_ELIMIT;
    }
    revocation = wh_calloc(1, sizeof(*revocation) + id.len + 1);
    if (revocation == NULL)
        return WH_ENOMEM;
    memcpy(revocation + 1, id.ptr, id.len);
    revocation->id = wh_slice(revocation + 1, id.len);
    revocation->expire_at = *expire_at;
    revocation->issued_before = *issued_before;
    enum wh_err err = wh_map_add(map, revocation->id, revocation);
    if (err)
        wh_free(revocation);
    if (!revocations->is_stopped && !wh_timer_is_running(&revocations->sweep))
        wh_loop_timer_start(revocations->loop, &revocations->sweep, REVOCATION_SWEEP_MS);
    return err;
}

enum wh_err revocations_add_token(struct revocations *revocations,
                                  struct api_revoke_token_request *request)
{
    int64_t any_time = 0;
    return add(revocations, &revocations->tokens, request->uid, &request->expire_at, &any_time);
}

enum wh_err revocations_add_user(struct revocations *revocations,
                                 struct api_invalidate_user_tokens_request *request)
{
    return add(revocations, &revocations->users, request->user, &request->expire_at,
               &request->issued_before);
}
