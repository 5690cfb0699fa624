/* Presence: what holds for memory and for Redis.  Every test runs on each. */
#include "tests/unit/hub/broker_fixture.h"

#include "hub/presence.h"

enum { TTL_MS = 60000, LIST_MAX = 12000 };

struct presence_fixture {
    struct fixture *f;
    struct presence *presence;
};

struct members {
    bool is_done;
    unsigned calls;
    enum wh_err err;
    size_t count;
    char text[512]; /* "client=user/conn/chan …", sorted, while it fits */
};

struct stats {
    bool is_done;
    unsigned calls;
    enum wh_err err;
    struct presence_stats stats;
};

static int setup(void **state, enum engine_type type)
{
    struct presence_fixture *p = calloc(1, sizeof *p);
    *state = p;
    p->f = fixture_new();
    if (type == ENGINE_REDIS)
        redis_server_start(&p->f->server, NULL);
    open_broker(p->f, type);
    if (!wait_up(p->f))
        return -1;
    enum wh_err err = type == ENGINE_REDIS
                          ? presence_redis_new(&p->f->loop, p->f->broker, &p->presence)
                          : presence_memory_new(&p->f->loop, &p->presence);
    return err ? -1 : 0;
}

static int setup_memory(void **state)
{
    return setup(state, ENGINE_MEMORY);
}

static int setup_redis(void **state)
{
    return setup(state, ENGINE_REDIS);
}

static int teardown(void **state)
{
    struct presence_fixture *p = *state;
    if (p->presence)
        p->presence->ops->close(p->presence);
    fixture_free(p->f);
    free(p);
    return 0;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void on_members(void *user, enum wh_err err, const struct presence_members *found)
{
    struct members *members = user;
    static char lines[16][64];
    members->is_done = true;
    members->calls++;
    members->err = err;
    assert_int_equal(found == NULL, err != WH_OK);
    if (found == NULL)
        return;
    members->count = found->count;
    members->text[0] = '\0';
    if (found->count > 16)
        return;
    for (size_t i = 0; i < found->count; i++) {
        const struct wh_info *info = &found->items[i];
        snprintf(lines[i], sizeof lines[i], "%.*s=%.*s/%.*s/%.*s", WH_SLICE_ARGS(info->client),
                 WH_SLICE_ARGS(info->user), WH_SLICE_ARGS(info->conn_info.bytes),
                 WH_SLICE_ARGS(info->chan_info.bytes));
    }
    qsort(lines, found->count, sizeof lines[0], compare_text);
    for (size_t i = 0; i < found->count; i++) {
        size_t used = strlen(members->text);
        snprintf(members->text + used, sizeof members->text - used, "%s%s", i ? " " : "", lines[i]);
    }
}

static void on_stats(void *user, enum wh_err err, const struct presence_stats *found)
{
    struct stats *stats = user;
    stats->is_done = true;
    stats->calls++;
    stats->err = err;
    assert_int_equal(found == NULL, err != WH_OK);
    if (found)
        stats->stats = *found;
}

static struct members members_of(struct presence_fixture *p, const char *channel)
{
    struct members members = {0};
    p->presence->ops->members(p->presence, wh_slice_from_str(channel), on_members, &members);
    assert_false(members.is_done);
    assert_true(run_until_true(&p->f->loop, &members.is_done, WAIT_MS));
    assert_int_equal(members.calls, 1);
    assert_int_equal(members.err, WH_OK);
    return members;
}

static void expect_stats(struct presence_fixture *p,
                         const char *channel,
                         unsigned clients,
                         unsigned users)
{
    struct stats stats = {0};
    p->presence->ops->stats(p->presence, wh_slice_from_str(channel), on_stats, &stats);
    assert_false(stats.is_done);
    assert_true(run_until_true(&p->f->loop, &stats.is_done, WAIT_MS));
    assert_int_equal(stats.calls, 1);
    assert_int_equal(stats.err, WH_OK);
    assert_int_equal(stats.stats.clients, clients);
    assert_int_equal(stats.stats.users, users);
}

static void start_add(struct presence_fixture *p,
                      const char *channel,
                      const char *client,
                      const char *user,
                      const char *chan_info,
                      uint64_t ttl_ms,
                      struct result *result)
{
    struct wh_info info = {
        .client = wh_slice_from_str(client),
        .user = wh_slice_from_str(user),
        .conn_info = {WH_PAYLOAD_JSON, WH_SLICE_LITERAL("{}")},
        .chan_info = {WH_PAYLOAD_JSON, wh_slice_from_str(chan_info)},
    };
    p->presence->ops->add(p->presence, wh_slice_from_str(channel), &info, ttl_ms,
                          result ? on_result : NULL, result);
}

static void add_with(struct presence_fixture *p,
                     const char *channel,
                     const char *client,
                     const char *user,
                     const char *chan_info,
                     uint64_t ttl_ms)
{
    struct result result = {0};
    start_add(p, channel, client, user, chan_info, ttl_ms, &result);
    assert_false(result.is_done);
    assert_true(run_until_true(&p->f->loop, &result.is_done, WAIT_MS));
    assert_int_equal(result.calls, 1);
    assert_int_equal(result.err, WH_OK);
}

static void add(struct presence_fixture *p,
                const char *channel,
                const char *client,
                const char *user)
{
    add_with(p, channel, client, user, NULL, TTL_MS);
}

static void remove_client(struct presence_fixture *p,
                          const char *channel,
                          const char *client,
                          const char *user)
{
    struct result result = {0};
    p->presence->ops->remove(p->presence, wh_slice_from_str(channel), wh_slice_from_str(client),
                             wh_slice_from_str(user), on_result, &result);
    assert_false(result.is_done);
    assert_true(run_until_true(&p->f->loop, &result.is_done, WAIT_MS));
    assert_int_equal(result.calls, 1);
    assert_int_equal(result.err, WH_OK);
}

static void empty_channel_has_nobody(void **state)
{
    assert_int_equal(members_of(*state, "none").count, 0);
    expect_stats(*state, "none", 0, 0);
    remove_client(*state, "none", "c", "u");
}

static void who_is_added_is_seen_and_who_is_removed_is_not(void **state)
{
    add(*state, "a", "c1", "u");
    add_with(*state, "a", "c2", "v", "[2]", TTL_MS);
    add(*state, "b", "c3", "w");
    assert_string_equal(members_of(*state, "a").text, "c1=u/{}/ c2=v/{}/[2]");
    assert_string_equal(members_of(*state, "b").text, "c3=w/{}/");
    remove_client(*state, "a", "c1", "u");
    remove_client(*state, "a", "c1", "u");
    assert_string_equal(members_of(*state, "a").text, "c2=v/{}/[2]");
    remove_client(*state, "a", "c2", "v");
    assert_int_equal(members_of(*state, "a").count, 0);
    expect_stats(*state, "a", 0, 0);
    expect_stats(*state, "b", 1, 1);
}

static void users_are_counted_once_however_many_clients_they_have(void **state)
{
    add(*state, "a", "c1", "u");
    add(*state, "a", "c2", "u");
    add(*state, "a", "c3", "v");
    add(*state, "a", "c4", "u");
    add(*state, "a", "c5", "");
    expect_stats(*state, "a", 5, 3);
    remove_client(*state, "a", "c1", "u");
    expect_stats(*state, "a", 4, 3);
    remove_client(*state, "a", "c4", "u");
    expect_stats(*state, "a", 3, 3);
    remove_client(*state, "a", "c2", "u");
    expect_stats(*state, "a", 2, 2);
    remove_client(*state, "a", "c5", "");
    expect_stats(*state, "a", 1, 1);
}

static void adding_again_renews_and_takes_the_new_info(void **state)
{
    for (int i = 0; i < 3; i++)
        add(*state, "a", "c1", "u");
    expect_stats(*state, "a", 1, 1);
    add_with(*state, "a", "c1", "u", "1", TTL_MS);
    assert_string_equal(members_of(*state, "a").text, "c1=u/{}/1");
    add_with(*state, "a", "c1", "v", "1", TTL_MS); /* not by our hubs, but ids are only text */
    assert_string_equal(members_of(*state, "a").text, "c1=v/{}/1");
    expect_stats(*state, "a", 1, 1);
    remove_client(*state, "a", "c1", "v");
    expect_stats(*state, "a", 0, 0);
}

/* Nobody renews them: that is what a node that died leaves behind. */
static void wait_for_members(struct presence_fixture *p, const char *channel, size_t count)
{
    for (int tries = 0; members_of(p, channel).count != count; tries++) {
        assert_true(tries < WAIT_MS / 20);
        run_for(&p->f->loop, 20);
    }
}

/* Nothing here says how soon: a slow machine may find some gone before the last was added. */
static void entries_of_a_dead_node_vanish_and_renewed_ones_stay(void **state)
{
    struct presence_fixture *p = *state;
    add_with(p, "a", "dead1", "u", NULL, 300);
    add_with(p, "a", "dead2", "v", NULL, 300);
    add_with(p, "a", "alive", "u", NULL, 300);
    add_with(p, "c", "dead3", "u", NULL, 300);
    add(p, "a", "alive", "u");
    wait_for_members(p, "a", 1);
    assert_string_equal(members_of(p, "a").text, "alive=u/{}/");
    expect_stats(p, "a", 1, 1);
    wait_for_members(p, "c", 0);
    expect_stats(p, "c", 0, 0);
}

static void hostile_names_are_names(void **state)
{
    static const char *const names[] = {"12:ab",  ":",   "",         "*",
                                        "a\r\nb", "u:1", "\xC3\xA4", "3:abc"};
    enum { COUNT = sizeof names / sizeof names[0] };
    struct presence_fixture *p = *state;
    for (size_t i = 0; i < COUNT; i++) {
        char channel[32];
        snprintf(channel, sizeof channel, "x%s", names[i]);
        for (size_t j = 0; j < COUNT; j++) {
            char client[32];
            snprintf(client, sizeof client, "%zu%s", j, names[j]);
            add(p, channel, client, names[j]);
        }
        expect_stats(p, channel, COUNT, COUNT);
    }
    for (size_t j = 0; j < COUNT; j++) {
        char client[32];
        snprintf(client, sizeof client, "%zu%s", j, names[j]);
        remove_client(p, "x*", client, names[j]);
        expect_stats(p, "x*", (unsigned)(COUNT - 1 - j), (unsigned)(COUNT - 1 - j));
    }
    expect_stats(p, "x:", COUNT, COUNT);
}

static void ten_thousand_members_are_one_answer(void **state)
{
    enum { COUNT = 10000, CHUNK = 500 };
    struct presence_fixture *p = *state;
    for (int i = 0; i < COUNT;
         i += CHUNK) { /* not all at once: a command has 2 s, however loaded */
        struct result last = {0};
        for (int j = i; j < i + CHUNK; j++) {
            char client[40], user[32];
            snprintf(client, sizeof client, "6d2f8a4e-0000-4000-8000-%012d", j);
            snprintf(user, sizeof user, "user%d", j % 4000);
            start_add(p, "big", client, user, "{\"color\":\"red\"}", TTL_MS,
                      j + 1 == i + CHUNK ? &last : NULL);
        }
        assert_true(run_until_true(&p->f->loop, &last.is_done, WAIT_MS));
        assert_int_equal(last.err, WH_OK);
    }
    assert_int_equal(members_of(p, "big").count, COUNT);
    expect_stats(p, "big", COUNT, 4000);
}

static void thousands_of_dead_entries_go_at_once(void **state)
{
    enum { COUNT = 3000 };
    struct presence_fixture *p = *state;
    add(p, "big", "alive", "u0");
    for (int i = 0; i < COUNT; i++) {
        char client[40], user[32];
        snprintf(client, sizeof client, "dead%d", i);
        snprintf(user, sizeof user, "u%d", i % 100);
        start_add(p, "big", client, user, NULL, 100, NULL);
    }
    run_for(&p->f->loop, 1000);
    for (int tries = 0; members_of(p, "big").count != 1; tries++) {
        assert_true(tries < WAIT_MS / 100);
        run_for(&p->f->loop, 100);
    }
    expect_stats(p, "big", 1, 1);
}

static void close_answers_everything_outstanding_once(void **state)
{
    struct presence_fixture *p = *state;
    struct result results[2] = {0};
    struct members members = {0};
    struct stats stats = {0};
    struct wh_slice a = WH_SLICE_LITERAL("a");
    start_add(p, "a", "c", "u", NULL, TTL_MS, &results[0]);
    start_add(p, "a", "d", "u", NULL, TTL_MS, NULL);
    p->presence->ops->remove(p->presence, a, a, a, on_result, &results[1]);
    p->presence->ops->members(p->presence, a, on_members, &members);
    p->presence->ops->stats(p->presence, a, on_stats, &stats);
    p->presence->ops->close(p->presence);
    p->presence = NULL;
    assert_false(stats.is_done);
    close_broker(p->f);
    assert_int_equal(results[0].calls, 1);
    assert_int_equal(results[0].err, WH_ECLOSED);
    assert_int_equal(results[1].calls, 1);
    assert_int_equal(results[1].err, WH_ECLOSED);
    assert_int_equal(members.calls, 1);
    assert_int_equal(members.err, WH_ECLOSED);
    assert_int_equal(stats.calls, 1);
    assert_int_equal(stats.err, WH_ECLOSED);
}

static void hung_redis_is_an_error_within_two_seconds(void **state)
{
    struct presence_fixture *p = *state;
    struct stats stats = {0};
    expect_stats(p, "a", 0, 0);
    redis_server_pause(&p->f->server);
    uint64_t before_ms = uv_hrtime() / 1000000;
    p->presence->ops->stats(p->presence, WH_SLICE_LITERAL("a"), on_stats, &stats);
    assert_true(run_until_true(&p->f->loop, &stats.is_done, WAIT_MS));
    redis_server_resume(&p->f->server);
    assert_int_equal(stats.err, WH_EUNAVAILABLE);
    assert_true(uv_hrtime() / 1000000 - before_ms < 4000);
}

static void nothing_is_left_in_redis_when_all_have_gone(void **state)
{
    struct presence_fixture *p = *state;
    add(p, "a", "c1", "u");
    add(p, "a", "c2", "u");
    assert_int_equal(redis_server_command(&p->f->server, "DBSIZE"), 4);
    assert_true(redis_server_command(&p->f->server, "PTTL wh:presence.info:a") > 0);
    remove_client(p, "a", "c1", "u");
    remove_client(p, "a", "c2", "u");
    assert_int_equal(redis_server_command(&p->f->server, "DBSIZE"), 1); /* wh:run */
}

int main(void)
{
#define ON_REDIS(test)                                                                             \
    {                                                                                              \
        "redis: " #test, test, setup_redis, teardown, NULL                                         \
    }
#define ON_BOTH(test) {"memory: " #test, test, setup_memory, teardown, NULL}, ON_REDIS(test)
    const struct CMUnitTest tests[] = {
        ON_BOTH(empty_channel_has_nobody),
        ON_BOTH(who_is_added_is_seen_and_who_is_removed_is_not),
        ON_BOTH(users_are_counted_once_however_many_clients_they_have),
        ON_BOTH(adding_again_renews_and_takes_the_new_info),
        ON_BOTH(entries_of_a_dead_node_vanish_and_renewed_ones_stay),
        ON_BOTH(hostile_names_are_names),
        ON_BOTH(ten_thousand_members_are_one_answer),
        ON_BOTH(thousands_of_dead_entries_go_at_once),
        ON_BOTH(close_answers_everything_outstanding_once),
        ON_REDIS(hung_redis_is_an_error_within_two_seconds),
        ON_REDIS(nothing_is_left_in_redis_when_all_have_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
