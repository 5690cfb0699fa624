/*
 * A state machine around a succession of links (redis_link.c):
 *
 *     WAITING --timer--> RESOLVING --> CONNECTING --> HANDSHAKE --> UP
 *        ^                   |              |             |         |
 *        +-------------------+--------------+-------------+---------+  go_down
 *
 * Requests sent wait in `pending` in the order of their replies; requests
 * that could not be sent wait in `refused` for a task to say so.  One timer
 * bounds the way to UP and paces the retries, another watches the oldest
 * pending request.  A link is forgotten the moment it is closed; `links_open`
 * counts those whose sockets are still on their way out.
 */
#include "common/io/redis.h"

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/buf.h"
#include "common/io/redis_address.h"
#include "common/io/redis_link.h"

#include <stdio.h>

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 2000, STABLE_MS = 2000 };

enum redis_state {
    REDIS_WAITING,
    REDIS_RESOLVING,
    REDIS_CONNECTING,
    REDIS_HANDSHAKE,
    REDIS_UP,
    REDIS_CLOSING
};

enum { STEP_AUTH, STEP_SELECT, STEP_PING, STEP_ROLE, STEP_COUNT };

struct wh_redis {
    struct wh_loop *loop;
    struct wh_redis_address address;
    char *user;
    char *password;
    uint64_t db;
    uint32_t connect_timeout_ms;
    uint32_t command_timeout_ms;
    size_t queue_bytes_max;
    size_t reply_bytes_max;
    void (*on_push)(void *user, const struct wh_redis_reply *reply);
    void *push_user;

    enum redis_state state;
    char reason[WH_REDIS_REASON_MAX]; /* "" when up */
    struct wh_list watches;
    struct wh_redis_stats stats;
    bool was_up;
    uint64_t up_since_ms;

    struct wh_redis_link *link; /* NULL in WAITING, RESOLVING and CLOSING */
    unsigned links_open;
    unsigned steps[STEP_COUNT]; /* of the handshake, in the order of their replies */
    unsigned step_count;
    unsigned steps_done;

    uv_getaddrinfo_t resolve;
    bool is_resolving; /* `resolve` is under way, perhaps for an attempt given up */
    struct addrinfo *addresses;
    struct addrinfo *next_address;

    struct wh_timer timer; /* WAITING: the next attempt; on the way to UP: the time-out */
    struct wh_timer reply_timer;
    bool is_reply_overdue;
    uint64_t bytes_read_then;
    struct wh_backoff backoff;

    struct wh_list pending;
    struct wh_list refused;
    struct wh_task refuse;
    struct wh_task finish;
    void (*closed)(void *user);
    void *closed_user;
};

static void go_down(struct wh_redis *redis, enum wh_err err, const char *reason);

/* ---- state and its watchers ---- */

/* A watcher may change the state under us and unwatch any other: hence the copy, and a list of
 * those still to be told. */
static void tell_watches(struct wh_redis *redis, bool is_up)
{
    char reason[WH_REDIS_REASON_MAX];
    struct wh_list untold;
    struct wh_list *node;
    memcpy(reason, redis->reason, sizeof reason);
    wh_list_init(&untold);
    while ((node = wh_list_pop_front(&redis->watches)))
        wh_list_push_back(&untold, node);
    while ((node = wh_list_pop_front(&untold))) {
        struct wh_redis_watch *watch = WH_CONTAINER_OF(node, struct wh_redis_watch, link);
        wh_list_push_back(&redis->watches, node);
        watch->on_state(watch, is_up, reason);
    }
}

bool wh_redis_is_up(const struct wh_redis *redis)
{
    return redis->state == REDIS_UP;
}

const char *wh_redis_reason(const struct wh_redis *redis)
{
    return redis->reason;
}

const struct wh_redis_stats *wh_redis_stats(const struct wh_redis *redis)
{
    return &redis->stats;
}

void wh_redis_watch(struct wh_redis *redis, struct wh_redis_watch *watch)
{
    wh_list_push_back(&redis->watches, &watch->link);
}

void wh_redis_unwatch(struct wh_redis_watch *watch)
{
    wh_list_remove(&watch->link);
}

/* ---- requests ---- */

static void finish_request(struct wh_redis *redis,
                           struct wh_list *node,
                           enum wh_err err,
                           const struct wh_redis_reply *reply)
{
    struct wh_redis_request *request = WH_CONTAINER_OF(node, struct wh_redis_request, link);
    WH_ASSERT(err != WH_OK || reply != NULL);
    if (err || reply->type == WH_REDIS_ERROR)
        redis->stats.errors++;
    request->done(request, err, reply);
}

static void fail_all(struct wh_redis *redis, struct wh_list *requests, enum wh_err err)
{
    struct wh_list *node;
    while ((node = wh_list_pop_front(requests)))
        finish_request(redis, node, err, NULL);
}

/* Requests refused by a `done` that this runs are left to the next round, which the loop makes. */
static void on_refuse(struct wh_task *task)
{
    struct wh_redis *redis = WH_CONTAINER_OF(task, struct wh_redis, refuse);
    struct wh_list *node;
    while ((node = wh_list_pop_front(&redis->refused))) {
        struct wh_redis_request *request = WH_CONTAINER_OF(node, struct wh_redis_request, link);
        finish_request(redis, node, request->err, NULL);
    }
}

static void refuse(struct wh_redis *redis, struct wh_redis_request *request, enum wh_err err)
{
    request->err = err;
    wh_list_push_back(&redis->refused, &request->link);
    wh_loop_defer(redis->loop, &redis->refuse);
}

enum wh_err wh_redis_write(struct wh_redis *redis, const struct wh_slice *argv, size_t argc)
{
    if (redis->state != REDIS_UP)
        return redis->state == REDIS_CLOSING ? WH_ECLOSED : WH_EUNAVAILABLE;
    enum wh_err err = wh_redis_link_write(redis->link, argv, argc);
    if (!err)
        redis->stats.commands++;
    return err;
}

void wh_redis_send(struct wh_redis *redis,
                   struct wh_redis_request *request,
                   const struct wh_slice *argv,
                   size_t argc)
{
    WH_ASSERT(!redis->on_push);
    wh_list_init(&request->link);
    enum wh_err err = wh_redis_write(redis, argv, argc);
    if (err) {
        refuse(redis, request, err);
        return;
    }
    request->deadline_ms = wh_loop_now_ms(redis->loop) + redis->command_timeout_ms;
    wh_list_push_back(&redis->pending, &request->link);
    if (!wh_timer_is_running(&redis->reply_timer)) {
        redis->is_reply_overdue = false;
        wh_loop_timer_start(redis->loop, &redis->reply_timer, redis->command_timeout_ms);
    }
}

/*
 * The oldest request is the one that runs out first, since all wait equally long.  When it is due
 * the loop gets one more turn to read: after a stall of our own the reply may be in the socket.
 */
static void on_reply_timer(struct wh_timer *timer)
{
    struct wh_redis *redis = WH_CONTAINER_OF(timer, struct wh_redis, reply_timer);
    if (wh_list_is_empty(&redis->pending))
        return;
    struct wh_redis_request *oldest =
        WH_CONTAINER_OF(redis->pending.next, struct wh_redis_request, link);
    uint64_t now_ms = wh_loop_now_ms(redis->loop);
    uint64_t bytes_read = wh_redis_link_bytes_read(redis->link);
    if (now_ms < oldest->deadline_ms) {
        redis->is_reply_overdue = false;
        wh_loop_timer_start(redis->loop, timer, oldest->deadline_ms - now_ms);
    } else if (!redis->is_reply_overdue || bytes_read != redis->bytes_read_then) {
        redis->is_reply_overdue = true;
        redis->bytes_read_then = bytes_read;
        wh_loop_timer_start(redis->loop, timer, 1);
    } else {
        char reason[WH_REDIS_REASON_MAX];
        snprintf(reason, sizeof reason, "no reply for %.1f s", redis->command_timeout_ms / 1000.0);
        go_down(redis, WH_ETIMEOUT, reason);
    }
}

/* ---- going up ---- */

static void go_up(struct wh_redis *redis)
{
    redis->state = REDIS_UP;
    redis->reason[0] = '\0';
    redis->up_since_ms = wh_loop_now_ms(redis->loop);
    if (redis->was_up)
        redis->stats.reconnects++;
    redis->was_up = true;
    wh_loop_timer_stop(redis->loop, &redis->timer);
    tell_watches(redis, true);
}

static enum wh_err write_step(struct wh_redis *redis,
                              unsigned step,
                              const struct wh_slice *argv,
                              size_t argc)
{
    redis->steps[redis->step_count++] = step;
    return wh_redis_link_write(redis->link, argv, argc);
}

static enum wh_err write_auth(struct wh_redis *redis)
{
    struct wh_slice argv[3] = {WH_SLICE_LITERAL("AUTH")};
    size_t argc = 1;
    if (!redis->password)
        return WH_OK;
    if (redis->user)
        argv[argc++] = wh_slice_from_str(redis->user);
    argv[argc++] = wh_slice_from_str(redis->password);
    return write_step(redis, STEP_AUTH, argv, argc);
}

static enum wh_err write_select(struct wh_redis *redis)
{
    char number[24];
    if (redis->db == 0)
        return WH_OK;
    snprintf(number, sizeof number, "%llu", (unsigned long long)redis->db);
    struct wh_slice argv[] = {WH_SLICE_LITERAL("SELECT"), wh_slice_from_str(number)};
    return write_step(redis, STEP_SELECT, argv, 2);
}

/* All in one write.  PING tells a server that is loading or wants a password, ROLE a replica. */
static void on_link_connected(void *user)
{
    struct wh_redis *redis = user;
    struct wh_slice ping = WH_SLICE_LITERAL("PING");
    struct wh_slice role = WH_SLICE_LITERAL("ROLE");
    redis->state = REDIS_HANDSHAKE;
    redis->step_count = 0;
    redis->steps_done = 0;
    enum wh_err err = write_auth(redis);
    if (!err)
        err = write_select(redis);
    if (!err)
        err = write_step(redis, STEP_PING, &ping, 1);
    if (!err)
        err = write_step(redis, STEP_ROLE, &role, 1);
    if (err)
        go_down(redis, err, wh_err_text(err));
}

static void go_down_for(struct wh_redis *redis, struct wh_slice text)
{
    char reason[WH_REDIS_REASON_MAX];
    snprintf(reason, sizeof reason, "redis: %.*s", WH_SLICE_ARGS(text));
    go_down(redis, WH_EIO, reason);
}

static bool is_replica(const struct wh_redis_reply *role)
{
    return role->type == WH_REDIS_ARRAY && role->count > 0 &&
           wh_slice_equal_str(role->items[0].text, "slave");
}

static void on_handshake_reply(struct wh_redis *redis, const struct wh_redis_reply *reply)
{
    unsigned step = redis->steps[redis->steps_done++];
    /* An account may lack the right to ask for the role: then it is taken on trust. */
    bool may_fail = step == STEP_ROLE && wh_redis_reply_is_error(reply, "NOPERM");
    if (reply->type == WH_REDIS_ERROR && !may_fail)
        go_down_for(redis, reply->text);
    else if (step == STEP_ROLE && is_replica(reply))
        go_down_for(redis, WH_SLICE_LITERAL("READONLY this server is a replica"));
    else if (redis->steps_done == redis->step_count)
        go_up(redis);
}

/* Errors that are not about the command but about the server as a whole. */
static bool is_server_unfit(const struct wh_redis_reply *reply)
{
    return wh_redis_reply_is_error(reply, "LOADING") ||
           wh_redis_reply_is_error(reply, "READONLY") || wh_redis_reply_is_error(reply, "NOAUTH") ||
           wh_redis_reply_is_error(reply, "MASTERDOWN");
}

static void on_link_reply(void *user, const struct wh_redis_reply *reply)
{
    struct wh_redis *redis = user;
    if (redis->state == REDIS_HANDSHAKE) {
        on_handshake_reply(redis, reply);
        return;
    }
    if (redis->on_push) {
        redis->on_push(redis->push_user, reply);
        return;
    }
    struct wh_list *node = wh_list_pop_front(&redis->pending);
    if (!node) {
        go_down_for(redis, reply->type == WH_REDIS_ERROR ? reply->text
                                                         : WH_SLICE_LITERAL("unexpected reply"));
        return;
    }
    struct wh_redis_link *link = redis->link;
    finish_request(redis, node, WH_OK, reply);
    if (is_server_unfit(reply) && redis->link == link)
        go_down_for(redis, reply->text);
}

/* ---- connecting ---- */

static void connect_next(struct wh_redis *redis);

static void on_link_lost(void *user, const char *reason)
{
    struct wh_redis *redis = user;
    bool was_connecting = redis->state == REDIS_CONNECTING;
    redis->link = NULL;
    if (was_connecting && redis->next_address)
        connect_next(redis);
    else
        go_down(redis, WH_EIO, reason);
}

static void finish_if_gone(struct wh_redis *redis)
{
    if (redis->state == REDIS_CLOSING && redis->links_open == 0 && !redis->is_resolving)
        wh_loop_defer(redis->loop, &redis->finish);
}

static void on_link_closed(void *user)
{
    struct wh_redis *redis = user;
    redis->links_open--;
    finish_if_gone(redis);
}

/* Try where `next_address` points, or the unix socket. */
static void connect_next(struct wh_redis *redis)
{
    bool is_unix = redis->address.path[0] != '\0';
    struct wh_redis_link_options options = {
        .path = is_unix ? redis->address.path : NULL,
        .queue_bytes_max = redis->queue_bytes_max,
        .reply_bytes_max = redis->reply_bytes_max,
        .events = {.on_connected = on_link_connected,
                   .on_reply = on_link_reply,
                   .on_lost = on_link_lost,
                   .on_closed = on_link_closed,
                   .user = redis},
    };
    if (!is_unix) {
        options.address = redis->next_address->ai_addr;
        redis->next_address = redis->next_address->ai_next;
    }
    redis->state = REDIS_CONNECTING;
    redis->links_open++;
    enum wh_err err = wh_redis_link_open(redis->loop, &options, &redis->link);
    if (err == WH_ENOMEM)
        redis->links_open--;
    if (err)
        go_down(redis, err, err == WH_ENOMEM ? "out of memory" : "connect: no socket");
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *addresses)
{
    struct wh_redis *redis = resolve->data;
    redis->is_resolving = false;
    if (redis->state != REDIS_RESOLVING) {
        uv_freeaddrinfo(addresses);
        finish_if_gone(redis);
        return;
    }
    if (status < 0) {
        char reason[WH_REDIS_REASON_MAX];
        snprintf(reason, sizeof reason, "resolve %.100s: %.60s", redis->address.host,
                 uv_strerror(status));
        go_down(redis, WH_EIO, reason);
        return;
    }
    uv_freeaddrinfo(redis->addresses);
    redis->addresses = addresses;
    redis->next_address = addresses;
    connect_next(redis);
}

static void resolve(struct wh_redis *redis)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    redis->state = REDIS_RESOLVING;
    if (redis->is_resolving)
        return; /* the look-up of an attempt that timed out will serve this one */
    redis->resolve.data = redis;
    int rc = uv_getaddrinfo(&redis->loop->uv, &redis->resolve, on_resolved, redis->address.host,
                            redis->address.port, &hints);
    if (rc < 0)
        go_down(redis, WH_ENOMEM, "resolve: out of memory");
    else
        redis->is_resolving = true;
}

static void on_timer(struct wh_timer *timer)
{
    struct wh_redis *redis = WH_CONTAINER_OF(timer, struct wh_redis, timer);
    if (redis->state != REDIS_WAITING) {
        const char *where = redis->state == REDIS_RESOLVING    ? "resolve"
                            : redis->state == REDIS_CONNECTING ? "connect"
                                                               : "handshake";
        char reason[WH_REDIS_REASON_MAX];
        snprintf(reason, sizeof reason, "%s: no answer for %.1f s", where,
                 redis->connect_timeout_ms / 1000.0);
        go_down(redis, WH_ETIMEOUT, reason);
        return;
    }
    wh_loop_timer_start(redis->loop, timer, redis->connect_timeout_ms);
    if (redis->address.path[0])
        connect_next(redis);
    else
        resolve(redis);
}

/* ---- going down ---- */

static void go_down(struct wh_redis *redis, enum wh_err err, const char *reason)
{
    bool was_up = redis->state == REDIS_UP;
    bool is_news = was_up || strcmp(redis->reason, reason) != 0;
    if (redis->link)
        wh_redis_link_close(redis->link);
    redis->link = NULL;
    redis->next_address = NULL;
    redis->state = REDIS_WAITING;
    snprintf(redis->reason, sizeof redis->reason, "%s", reason);
    /* A server that accepts and drops us at once must not be hammered: forget the failures only
     * after it has been good for a while. */
    if (was_up && wh_loop_now_ms(redis->loop) - redis->up_since_ms >= STABLE_MS)
        wh_backoff_reset(&redis->backoff);
    wh_loop_timer_stop(redis->loop, &redis->reply_timer);
    wh_loop_timer_start(redis->loop, &redis->timer, wh_backoff_next_ms(&redis->backoff));
    fail_all(redis, &redis->pending, err);
    if (is_news && redis->state == REDIS_WAITING)
        tell_watches(redis, false);
}

void wh_redis_reconnect(struct wh_redis *redis, const char *reason)
{
    if (redis->state == REDIS_UP || redis->state == REDIS_HANDSHAKE)
        go_down(redis, WH_EIO, reason);
}

/* ---- new and close ---- */

/* "" is taken as NULL.  False when out of memory. */
static bool copy_text(const char *text, char **out_copy)
{
    if (!text || !text[0])
        return true;
    size_t size = strlen(text) + 1;
    *out_copy = wh_malloc(size);
    if (*out_copy)
        memcpy(*out_copy, text, size);
    return *out_copy != NULL;
}

static void free_redis(struct wh_redis *redis)
{
    uv_freeaddrinfo(redis->addresses);
    wh_free(redis->user);
    wh_free(redis->password);
    wh_free(redis);
}

static void on_finish(struct wh_task *task)
{
    struct wh_redis *redis = WH_CONTAINER_OF(task, struct wh_redis, finish);
    void (*closed)(void *user) = redis->closed;
    void *user = redis->closed_user;
    fail_all(redis, &redis->pending, WH_ECLOSED);
    on_refuse(&redis->refuse);
    wh_task_cancel(&redis->refuse);
    free_redis(redis);
    if (closed)
        closed(user);
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

enum wh_err wh_redis_new(struct wh_loop *loop,
                         const struct wh_redis_options *options,
                         struct wh_redis **out_redis)
{
    struct wh_redis *redis = wh_calloc(1, sizeof *redis);
    if (!redis)
        return WH_ENOMEM;
    enum wh_err err = wh_redis_address_parse(options->address, &redis->address);
    if (err)
        goto fail;
    err = WH_ENOMEM;
    if (!copy_text(options->user, &redis->user) || !copy_text(options->password, &redis->password))
        goto fail;
    redis->loop = loop;
    redis->db = options->db;
    redis->connect_timeout_ms = or_default(options->connect_timeout_ms, WH_REDIS_TIMEOUT_MS);
    redis->command_timeout_ms = or_default(options->command_timeout_ms, WH_REDIS_TIMEOUT_MS);
    redis->queue_bytes_max =
        options->queue_bytes_max ? options->queue_bytes_max : WH_REDIS_QUEUE_BYTES_MAX;
    redis->reply_bytes_max =
        options->reply_bytes_max ? options->reply_bytes_max : WH_REDIS_REPLY_BYTES_MAX;
    redis->on_push = options->on_push;
    redis->push_user = options->push_user;
    redis->backoff = (struct wh_backoff){.min_ms = BACKOFF_MIN_MS, .max_ms = BACKOFF_MAX_MS};
    wh_list_init(&redis->watches);
    wh_list_init(&redis->pending);
    wh_list_init(&redis->refused);
    wh_task_init(&redis->refuse, on_refuse);
    wh_task_init(&redis->finish, on_finish);
    wh_timer_init(&redis->timer, on_timer);
    wh_timer_init(&redis->reply_timer, on_reply_timer);
    snprintf(redis->reason, sizeof redis->reason, "connecting");
    wh_loop_timer_start(loop, &redis->timer, 0);
    *out_redis = redis;
    return WH_OK;
fail:
    free_redis(redis);
    return err;
}

void wh_redis_close(struct wh_redis *redis, void (*closed)(void *user), void *user)
{
    WH_ASSERT(redis->state != REDIS_CLOSING);
    redis->state = REDIS_CLOSING;
    redis->closed = closed;
    redis->closed_user = user;
    wh_loop_timer_stop(redis->loop, &redis->timer);
    wh_loop_timer_stop(redis->loop, &redis->reply_timer);
    if (redis->link)
        wh_redis_link_close(redis->link);
    redis->link = NULL;
    if (redis->is_resolving)
        uv_cancel((uv_req_t *)&redis->resolve);
    finish_if_gone(redis);
}
