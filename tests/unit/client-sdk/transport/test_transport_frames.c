/* What goes over an open connection, how it ends, and the service below. */
#include "tests/support/transport_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- messages ------------------------------------------------------------------------------ */

static void what_is_sent_comes_back_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,     1,     125,   126,   127,    16383,  16384,  16385,
                                   32768, 65535, 65536, 65537, 131072, 500000, 1048576};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    struct wh_client client;
    struct raw_peer *peer = fixture_start(save_and_echo, NULL, &client);
    char *payload = malloc(1 << 20);
    for (size_t i = 0; i < 1 << 20; i++)
        payload[i] = (char)('a' + i % 23);
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    for (size_t i = 0; i < COUNT; i++)
        fake_send(&client, payload, sizes[i]);
    fixture_pump_messages(&client, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(client.messages[i]->is_text);
        assert_int_equal(client.messages[i]->len, sizes[i]);
        assert_memory_equal(client.messages[i]->bytes, payload, sizes[i]);
    }
    fixture_stop(peer, &client);
    free(payload);
}

static void fragments_script(struct raw_stream *stream, void *user)
{
    (void)user;
    if (raw_read_request(stream) && raw_upgrade(stream, NULL) && raw_frame(stream, 0x01, "he", 2) &&
        raw_frame(stream, 0x89, "ping", 4) && raw_frame(stream, 0x00, "", 0) &&
        raw_frame(stream, 0x00, "ll", 2) && raw_frame(stream, 0x80, "o", 1) &&
        raw_frame(stream, 0x82, "\xff", 1) && raw_frame(stream, 0x02, "\1", 1) &&
        raw_frame(stream, 0x80, "", 0) && raw_frame(stream, 0x81, "end", 3))
        raw_wait_end(stream);
}

static void fragments_become_one_message(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(fragments_script, NULL, &client);
    fake_open(&client);
    fixture_pump_messages(&client, 4);
    assert_string_equal(client.messages[0]->bytes, "hello");
    assert_true(client.messages[0]->is_text);
    assert_string_equal(client.messages[1]->bytes, "\xff");
    assert_false(client.messages[1]->is_text);
    assert_int_equal(client.messages[2]->len, 1);
    assert_false(client.messages[2]->is_text);
    assert_string_equal(client.messages[3]->bytes, "end");
    fixture_stop(peer, &client);
}

/* FIN and opcode, and how long each frame says it is. */
struct big {
    uint8_t first[2];
    size_t len[2];
};

static void big_script(struct raw_stream *stream, void *user)
{
    const struct big *big = user;
    char *payload = calloc(1, 4096);
    if (raw_read_request(stream) && raw_upgrade(stream, NULL)) {
        (void)raw_frame(stream, big->first[0], payload, big->len[0]);
        (void)raw_frame(stream, big->first[1], payload, big->len[1]);
        raw_wait_end(stream);
    }
    free(payload);
}

static void a_message_past_the_limit_is_told_and_not_kept(void **state)
{
    (void)state;
    static struct big cases[] = {
        {{0x82, 0x82}, {1025, 1}},
        {{0x02, 0x80}, {1024, 1}},
        {{0x02, 0x80}, {1, 1024}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_client client;
        struct raw_peer *peer = fixture_start(big_script, &cases[i], &client);
        client.settings.message_bytes_max = 1024;
        fake_open(&client);
        fixture_pump(&client.too_big, 1);
        fake_close(&client, 3000, "too big");
        service_run(service, 10);
        assert_int_equal(client.message_count, 0);
        assert_int_equal(client.too_big, 1);
        fixture_stop(peer, &client);
    }
}

static void announce_script(struct raw_stream *stream, void *user)
{
    static const char header[] = "\x82\x7f\0\0\0\0\x7f\xff\xff\xff";
    char *payload = calloc(1, 20000);
    (void)user;
    if (raw_read_request(stream) && raw_upgrade(stream, NULL) &&
        raw_write(stream, header, sizeof header - 1) && raw_write(stream, payload, 20000))
        raw_wait_end(stream);
    free(payload);
}

/* 2 GiB are announced, 20,000 bytes come. */
static void an_announced_message_past_the_limit_is_not_waited_for(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(announce_script, NULL, &client);
    fake_open(&client);
    fixture_pump(&client.too_big, 1);
    assert_int_equal(client.closed, 0);
    fixture_stop(peer, &client);
}

static void a_message_of_just_the_limit_is_fine(void **state)
{
    (void)state;
    static struct big cases[] = {
        {{0x82, 0x82}, {1024, 1}},
        {{0x02, 0x80}, {1023, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_client client;
        struct raw_peer *peer = fixture_start(big_script, &cases[i], &client);
        client.settings.message_bytes_max = 1024;
        fake_open(&client);
        fixture_pump_messages(&client, 1);
        assert_int_equal(client.messages[0]->len, 1024);
        assert_int_equal(client.too_big, 0);
        fixture_stop(peer, &client);
    }
}

static void bytes_script(struct raw_stream *stream, void *user)
{
    const char *bytes = user; /* the first says how many */
    if (raw_read_request(stream) && raw_upgrade(stream, NULL) &&
        raw_write(stream, bytes + 1, (size_t)bytes[0]))
        raw_wait_end(stream);
}

static void broken_frames_end_the_connection(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\x04\x81\x02\xc3\x28",                         /* bad UTF-8 */
        "\x03\x81\x01\xc3",                             /* half a character */
        "\x02\x83\x00",                                 /* reserved opcode */
        "\x02\x8b\x00",                                 /* reserved control opcode */
        "\x02\xc1\x00",                                 /* RSV1 without extension */
        "\x02\x80\x00",                                 /* continuation of nothing */
        "\x02\x09\x00",                                 /* fragmented ping */
        "\x04\x89\x7e\x00\x7e",                         /* ping longer than 125 */
        "\x06\x01\x01x\x81\x01y",                       /* a new message inside of one */
        "\x0a\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", /* 2^64 − 1 bytes */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_client client;
        struct raw_peer *peer = fixture_start(bytes_script, (void *)(uintptr_t)cases[i], &client);
        fake_open(&client);
        fixture_pump(&client.closed, 1);
        assert_int_equal(client.opened, 1);
        assert_int_equal(client.message_count, 0);
        assert_int_equal(client.code, 0);
        fixture_stop(peer, &client);
    }
}

static void a_ping_measures_the_way(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(save_and_echo, NULL, &client);
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    transport_ws_ops.ping(client.transport);
    fixture_pump(&client.pongs, 1);
    assert_true(client.rtt_us > 0);
    transport_ws_ops.ping(client.transport);
    fixture_pump(&client.pongs, 2);
    fixture_stop(peer, &client);
}

static void flood_script(struct raw_stream *stream, void *user)
{
    (void)user;
    char payload[64] = "x";
    if (!raw_read_request(stream) || !raw_upgrade(stream, NULL))
        return;
    for (int i = 0; i < 40; i++)
        if (!raw_frame(stream, 0x82, payload, sizeof payload))
            return;
    raw_wait_end(stream);
}

static void stop_reading_after_one(struct wh_client *client)
{
    client->on_unlock = NULL;
    fake_set_reading(client, false);
}

static void what_is_not_read_waits(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(flood_script, NULL, &client);
    client.on_unlock = stop_reading_after_one; /* that of engine_opened */
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    for (int i = 0; i < 20; i++)
        service_run(service, 5);
    assert_true(client.message_count < 40);
    fake_set_reading(&client, true);
    fixture_pump_messages(&client, 40);
    fixture_stop(peer, &client);
}

/* ---- closing ------------------------------------------------------------------------------- */

static void peer_closes_script(struct raw_stream *stream, void *user)
{
    const char *payload = user;
    char answer[128];
    uint8_t first;
    size_t len;
    if (raw_read_request(stream) && raw_upgrade(stream, NULL) &&
        raw_frame(stream, 0x88, payload + 1, (size_t)payload[0]))
        (void)raw_read_frame(stream, &first, answer, sizeof answer, &len);
}

static void the_peers_code_and_reason_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        uint32_t code;
        const char *reason;
    } cases[] = {
        {"\x0a\x0b\xb9shutdown", 3001, "shutdown"},
        {"\x02\x0d\xac", 3500, ""},
        {"\x02\x03\xe8", 1000, ""},
        {"\x02\x03\xf1", 1009, ""},
        {"\x00", 1005, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_client client;
        struct raw_peer *peer =
            fixture_start(peer_closes_script, (void *)(uintptr_t)cases[i].payload, &client);
        fake_open(&client);
        fixture_pump(&client.closed, 1);
        assert_int_equal(client.opened, 1);
        assert_int_equal(client.code, cases[i].code);
        assert_string_equal(client.reason, cases[i].reason);
        service_run(service, 10);
        assert_int_equal(client.closed, 1);
        fixture_stop(peer, &client);
    }
}

static void drop_script(struct raw_stream *stream, void *user)
{
    (void)user;
    if (raw_read_request(stream))
        (void)raw_upgrade(stream, NULL);
}

static void a_lost_connection_has_no_code(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(drop_script, NULL, &client);
    fake_open(&client);
    fixture_pump(&client.closed, 1);
    assert_int_equal(client.opened, 1);
    assert_int_equal(client.code, 0);
    fixture_stop(peer, &client);
}

struct saved_close {
    size_t len;
    char payload[128];
    int pipe[2];
};

static void save_close_script(struct raw_stream *stream, void *user)
{
    struct saved_close *saved = user;
    uint8_t first = 0;
    if (raw_read_request(stream) && raw_upgrade(stream, NULL)) {
        while (first != 0x88 &&
               raw_read_frame(stream, &first, saved->payload, sizeof saved->payload, &saved->len))
            ;
        if (first == 0x88)
            (void)raw_frame(stream, 0x88, saved->payload, saved->len);
    }
    (void)!write(saved->pipe[1], "", 1);
}

static void our_code_and_reason_reach_the_peer_even_after_free(void **state)
{
    (void)state;
    static struct saved_close saved;
    char byte;
    struct wh_client client;
    assert_int_equal(pipe(saved.pipe), 0);
    struct raw_peer *peer = fixture_start(save_close_script, &saved, &client);
    client.settings.close_timeout_ms = FIXTURE_LIMIT_S * 1000;
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    fake_close(&client, 3502, "bye");
    fake_client_deinit(&client);
    /* Without connections left the service goes: this waits for the close. */
    service_free(service, NULL, NULL);
    assert_int_equal(read(saved.pipe[0], &byte, 1), 1);
    assert_int_equal(saved.len, 5);
    assert_memory_equal(saved.payload,
                        "\x0d\xae"
                        "bye",
                        5);
    assert_int_equal(client.closed, 0);
    raw_peer_stop(peer);
    (void)close(saved.pipe[0]);
    (void)close(saved.pipe[1]);
    (void)fixture_setup(NULL);
}

static void stalled_script(struct raw_stream *stream, void *user)
{
    int *pipe_fds = user;
    char byte;
    if (raw_read_request(stream) && raw_upgrade(stream, NULL))
        (void)!read(pipe_fds[0], &byte, 1); /* nothing is read from the socket */
}

static void a_stalled_peer_does_not_keep_the_service(void **state)
{
    (void)state;
    int fds[2];
    struct wh_client client;
    static char payload[1 << 20];
    assert_int_equal(pipe(fds), 0);
    struct raw_peer *peer = fixture_start(stalled_script, fds, &client);
    client.settings.close_timeout_ms = 50;
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    memset(payload, 'x', sizeof payload);
    for (int i = 0; i < 16; i++)
        fake_send(&client, payload, sizeof payload);
    /* Until socket buffers are full and libwebsockets holds the rest of a frame. */
    for (size_t before = 16; client.frames_taken != before;) {
        before = client.frames_taken;
        for (int i = 0; i < 10; i++)
            service_run(service, 5);
    }
    assert_in_range(client.frames_taken, 1, 15);
    fake_close(&client, 1000, "");
    fake_client_deinit(&client);
    service_free(service, NULL, NULL);
    assert_int_equal(write(fds[1], "", 1), 1);
    raw_peer_stop(peer);
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)fixture_setup(NULL);
}

static void open_again(struct wh_client *client)
{
    if (client->closed == 1 && client->connection == 1)
        fake_open(client);
}

static void a_connection_can_be_opened_where_the_last_one_is_told_closed(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer =
        fixture_start(peer_closes_script, (void *)(uintptr_t) "\x02\x0b\xb8", &client);
    client.on_unlock = open_again;
    fake_open(&client);
    fixture_pump(&client.opened, 2);
    fixture_pump(&client.closed, 2);
    fixture_stop(peer, &client);
}

static void close_in_the_callback(struct wh_client *client)
{
    if (client->opened && !client->closed)
        fake_close(client, 1000, "");
}

static void a_connection_can_be_closed_where_it_is_told_open(void **state)
{
    (void)state;
    struct wh_client client;
    struct raw_peer *peer = fixture_start(save_and_echo, NULL, &client);
    client.on_unlock = close_in_the_callback;
    fake_open(&client);
    fixture_pump(&client.opened, 1);
    for (int i = 0; i < 5; i++)
        service_run(service, 5);
    assert_int_equal(client.closed, 0);
    fixture_stop(peer, &client);
}

/* Every moment between open and a conversation is hit by some of these; ASan sees the rest. */
static void transports_can_be_freed_in_every_state(void **state)
{
    (void)state;
    static raw_script *const scripts[] = {save_and_echo, wait_script, drop_script, text_script};
    for (size_t kind = 0; kind < 5; kind++) {
        struct raw_peer *peer =
            raw_peer_start(kind < 4 ? scripts[kind] : NULL,
                           kind == 3 ? (void *)(uintptr_t) "HTTP/1.1 503 No\r\n\r\n" : NULL, NULL);
        for (unsigned i = 0; i < 50; i++) {
            char url[64];
            struct wh_client client;
            (void)snprintf(url, sizeof url, "ws://%s:%u/", i % 2 ? "localhost" : "127.0.0.1",
                           raw_peer_port(peer));
            fake_client_init(&client, service, url);
            client.settings.close_timeout_ms = 1 + i;
            fake_open(&client);
            for (unsigned turn = 0; turn < i / 4; turn++)
                service_run(service, turn % 3);
            if (i % 3 == 0)
                fake_close(&client, 1000, "over");
            if (i % 7 == 0)
                fake_open(&client);
            if (i % 7 == 0 && i % 2)
                service_run(service, 1);
            fake_client_deinit(&client);
        }
        raw_peer_stop(peer);
    }
}

/* ---- the service --------------------------------------------------------------------------- */

static unsigned timer_fired;

static void on_timer(struct service_timer *timer)
{
    (void)timer;
    timer_fired++;
}

static void timers_fire_once_and_can_be_stopped(void **state)
{
    (void)state;
    struct service_timer timer = {.fn = on_timer};
    struct service_timer stopped = {.fn = on_timer};
    timer_fired = 0;
    service_timer_start(service, &stopped, 0);
    service_timer_start(service, &timer, 1000000);
    service_timer_start(service, &timer, 1); /* starts anew */
    service_timer_stop(service, &stopped);
    service_timer_stop(service, &stopped);
    fixture_pump(&timer_fired, 1);
    service_run(service, 5);
    assert_int_equal(timer_fired, 1);
    service_timer_start(service, &timer, UINT64_MAX);
    service_timer_stop(service, &timer);
}

static void waking_ends_a_wait(void **state)
{
    (void)state;
    wakes = 0;
    service_wake(service);
    service_wake(service);
    service_run(service, FIXTURE_LIMIT_S * 1000);
    assert_int_equal(wakes, 1);
    service_run(service, 0);
    assert_int_equal(wakes, 1);
}

static void on_pipe(int number)
{
    (void)number;
}

static void the_programs_sigpipe_stays_as_it_was(void **state)
{
    (void)state;
    struct sigaction mine = {.sa_handler = on_pipe}, before, after;
    assert_int_equal(sigaction(SIGPIPE, &mine, &before), 0);
    const struct service_options options = {.loop = WH_LOOP_NONE, .on_wake = on_wake};
    struct service *other;
    assert_int_equal(service_new(&options, &other, NULL), WH_OK);
    assert_int_equal(sigaction(SIGPIPE, &before, &after), 0);
    assert_ptr_equal(after.sa_handler, on_pipe);
    service_free(other, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_comes_back_whole),
        cmocka_unit_test(fragments_become_one_message),
        cmocka_unit_test(a_message_past_the_limit_is_told_and_not_kept),
        cmocka_unit_test(an_announced_message_past_the_limit_is_not_waited_for),
        cmocka_unit_test(a_message_of_just_the_limit_is_fine),
        cmocka_unit_test(broken_frames_end_the_connection),
        cmocka_unit_test(a_ping_measures_the_way),
        cmocka_unit_test(what_is_not_read_waits),
        cmocka_unit_test(the_peers_code_and_reason_are_told),
        cmocka_unit_test(a_lost_connection_has_no_code),
        cmocka_unit_test(our_code_and_reason_reach_the_peer_even_after_free),
        cmocka_unit_test(a_stalled_peer_does_not_keep_the_service),
        cmocka_unit_test(a_connection_can_be_opened_where_the_last_one_is_told_closed),
        cmocka_unit_test(a_connection_can_be_closed_where_it_is_told_open),
        cmocka_unit_test(transports_can_be_freed_in_every_state),
        cmocka_unit_test(timers_fire_once_and_can_be_stopped),
        cmocka_unit_test(waking_ends_a_wait),
        cmocka_unit_test(the_programs_sigpipe_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
