/*
 * All clients run on one pumped runtime in this thread, so that no hand-over
 * between threads is measured.  Payloads carry the number within their channel
 * and the time of publishing; they are padded to --size.
 *
 *     CONNECTING → SUBSCRIBING → PUBLISHING → DRAINING → done
 *
 * DRAINING ends when all has come, or when nothing came for DRAIN_US.
 */
#include "client-sdk/cli/bench.h"

#include "client-sdk/cli/commands.h"
#include "client-sdk/cli/connection.h"
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/histogram.h"
#include "common/base/random.h"

#include <stdio.h>

enum {
    WINDOW = 256,      /* publications that the server has not confirmed */
    TURN_MS = 10,      /* signals are looked at this often */
    CONNECTS_MAX = 64, /* under way at once */
    CHANNEL_BYTES = 96,
    RANDOM_LETTERS = 6,
    TURN_PUBLICATIONS = 64
};
#define DRAIN_US UINT64_C(3000000)

struct bench;

struct bench_sub {
    struct bench *bench;
    uint64_t expected; /* the next number */
    uint64_t received;
};

struct bench_client {
    struct bench *bench;
    struct wh_client *client;
    bool is_connected;
    struct bench_sub *subs; /* one a channel */
};

struct bench {
    struct app *app;
    struct wh_runtime *runtime;
    struct bench_client publisher, *clients;
    size_t count, channels, started, connected, subscribed;
    char (*names)[CHANNEL_BYTES];
    uint64_t *numbers; /* of each channel: publications so far */
    uint64_t published, confirmed, received, repeated, reordered;
    uint64_t started_us, ended_us, last_us; /* publishing; the last that came */
    struct wh_buf payload;
    struct wh_histogram latency; /* µs */
    bool is_over;
    int status;
};

static void end(struct bench *bench, int status)
{
    if (!bench->is_over)
        bench->status = status;
    bench->is_over = true;
}

static void fail(struct bench *bench, const char *what, const struct wh_error *error)
{
    if (!bench->is_over)
        end(bench, app_complain_error(bench->app, what, error));
}

/* ---- payloads ---- */

void bench_payload_write(uint64_t number, uint64_t time_us, size_t size, struct wh_buf *out)
{
    wh_buf_reset(out);
    wh_buf_printf(out, "{\"n\":%llu,\"t\":%llu,\"p\":\"", (unsigned long long)number,
                  (unsigned long long)time_us);
    size_t used = out->len + sizeof("\"}") - 1;
    char *room = used < size ? wh_buf_reserve(out, size - used) : NULL;
    if (room) {
        memset(room, 'x', size - used);
        wh_buf_commit(out, size - used);
    }
    wh_buf_append_str(out, "\"}");
}

static bool take(struct wh_slice *text, const char *wanted)
{
    struct wh_slice prefix = wh_slice_from_str(wanted);
    if (!wh_slice_starts_with(*text, prefix))
        return false;
    *text = wh_slice_from(*text, prefix.len);
    return true;
}

static bool take_number(struct wh_slice *text, uint64_t *out)
{
    uint64_t number = 0;
    size_t digits = 0;
    for (; digits < text->len && text->ptr[digits] >= '0' && text->ptr[digits] <= '9'; digits++) {
        if (number > (UINT64_MAX - 9) / 10)
            return false;
        number = number * 10 + (uint64_t)(text->ptr[digits] - '0');
    }
    *text = wh_slice_from(*text, digits);
    *out = number;
    return digits > 0;
}

bool bench_payload_read(struct wh_slice text, uint64_t *out_number, uint64_t *out_time_us)
{
    return take(&text, "{\"n\":") && take_number(&text, out_number) && take(&text, ",\"t\":") &&
           take_number(&text, out_time_us) && take(&text, ",\"p\":\"");
}

/* ---- subscribers ---- */

static void count_publication(struct bench_sub *sub, uint64_t number, uint64_t time_us)
{
    struct bench *bench = sub->bench;
    bench->last_us = wh_clock_monotonic_us();
    wh_histogram_record(&bench->latency, bench->last_us - time_us);
    sub->received++;
    bench->received++;
    if (number >= sub->expected)
        sub->expected = number + 1;
    else
        bench->reordered++; /* or came twice: that shows when all is counted */
}

static void on_publication(struct wh_sub *handle,
                           const struct wh_publication *publication,
                           void *user)
{
    struct bench_sub *sub = user;
    struct wh_slice text = wh_slice(publication->data.ptr, publication->data.len);
    struct wh_data json = {0};
    uint64_t number, time_us;
    (void)handle;
    if (publication->data.format == WH_DATA_MSGPACK &&
        wh_data_to_json(&publication->data, &json) == WH_OK)
        text = wh_slice(json.ptr, json.len);
    if (bench_payload_read(text, &number, &time_us))
        count_publication(sub, number, time_us);
    wh_data_free(&json);
}

static void on_subscribed(struct wh_sub *handle, const struct wh_subscribed *subscribed, void *user)
{
    struct bench_sub *sub = user;
    (void)handle;
    (void)subscribed;
    sub->bench->subscribed++;
}

static void on_unsubscribed(struct wh_sub *handle, const struct wh_transition *why, void *user)
{
    struct bench_sub *sub = user;
    struct wh_error error = cli_connection_error(WH_ESERVER);
    if (why->code == 0 || why->code == 2)
        return; /* our own end */
    error.code = why->code;
    snprintf(error.text, sizeof(error.text), "%s", why->reason);
    fail(sub->bench, wh_sub_channel(handle), &error);
}

static const struct wh_sub_events sub_events = {
    WH_SUB_EVENTS_INIT,
    .subscribed = on_subscribed,
    .unsubscribed = on_unsubscribed,
    .publication = on_publication,
};

/* ---- clients ---- */

static void on_connected(struct wh_client *handle, const struct wh_connected *connected, void *user)
{
    struct bench_client *client = user;
    (void)handle;
    (void)connected;
    if (!client->is_connected)
        client->bench->connected++;
    client->is_connected = true;
}

static void on_disconnected(struct wh_client *handle, const struct wh_transition *why, void *user)
{
    struct bench_client *client = user;
    struct wh_error error = cli_connection_error(WH_ECONNECT);
    (void)handle;
    if (why->code == 0)
        return; /* our own end */
    if (why->code == 1 && strcmp(why->reason, "unauthorized") == 0)
        error.err = WH_EUNAUTHORIZED;
    snprintf(error.text, sizeof(error.text), "%u %s", why->code, why->reason);
    fail(client->bench, "disconnected", &error);
}

static void on_error(struct wh_client *handle, const struct wh_error *error, void *user)
{
    struct bench_client *client = user;
    struct wh_error shown = *error;
    (void)handle;
    if (shown.err == WH_ETIMEOUT || shown.err == WH_EIO)
        shown.err = WH_ECONNECT;
    if (!client->is_connected)
        fail(client->bench, "cannot connect", &shown);
}

static const struct wh_client_events client_events = {
    WH_CLIENT_EVENTS_INIT,
    .connected = on_connected,
    .disconnected = on_disconnected,
    .error = on_error,
};

static bool make_subs(struct bench *bench, struct bench_client *client)
{
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    struct wh_error detail = {.err = WH_ENOMEM};
    client->subs = wh_calloc(bench->channels, sizeof(client->subs[0]));
    options.events = &sub_events;
    for (size_t i = 0; client->subs && i < bench->channels; i++) {
        struct wh_sub *sub;
        client->subs[i].bench = bench;
        options.user = &client->subs[i];
        if (wh_sub_new(client->client, bench->names[i], &options, &sub, &detail) ||
            wh_sub_subscribe(sub)) {
            fail(bench, bench->names[i], &detail);
            return false;
        }
    }
    return client->subs != NULL;
}

static bool make_client(struct bench *bench,
                        struct bench_client *client,
                        struct connection_options *options)
{
    struct wh_error detail = {.err = WH_ENOMEM};
    client->bench = bench;
    options->client.runtime = bench->runtime;
    options->client.events = &client_events;
    options->client.user = client;
    if (wh_client_new(&options->client, &client->client, &detail)) {
        fail(bench, "the connection", &detail);
        return false;
    }
    return client == &bench->publisher || make_subs(bench, client);
}

static bool make_all(struct bench *bench, struct connection_options *options)
{
    bool is_made = make_client(bench, &bench->publisher, options);
    for (size_t i = 0; is_made && i < bench->count; i++)
        is_made = make_client(bench, &bench->clients[i], options);
    return is_made;
}

/* ---- publishing ---- */

static void on_published(struct wh_client *handle, const struct wh_error *error, void *user)
{
    struct bench *bench = user;
    (void)handle;
    bench->confirmed++;
    if (error)
        fail(bench, "publish", error);
}

static bool is_due(const struct bench *bench)
{
    double rate = bench->app->settings.rate;
    double passed_us = (double)(wh_clock_monotonic_us() - bench->started_us);
    return !(rate > 0) || (double)bench->published * 1e6 / rate <= passed_us;
}

static void publish_some(struct bench *bench)
{
    const struct settings *settings = &bench->app->settings;
    for (int i = 0; i < TURN_PUBLICATIONS && bench->published < settings->messages &&
                    bench->published - bench->confirmed < WINDOW && is_due(bench);
         i++) {
        size_t channel = (size_t)(bench->published % bench->channels);
        bench_payload_write(bench->numbers[channel]++, wh_clock_monotonic_us(),
                            (size_t)settings->size, &bench->payload);
        enum wh_err err =
            wh_client_publish(bench->publisher.client, bench->names[channel],
                              wh_json(wh_buf_cstr(&bench->payload)), NULL, on_published, bench);
        struct wh_error error = cli_connection_error(err);
        if (err) {
            fail(bench, "publish", &error);
            return;
        }
        bench->published++;
    }
}

/* ---- phases ---- */

static void turn(struct bench *bench, uint32_t wait_ms)
{
    enum wh_err err = wh_runtime_run_once(bench->runtime, wait_ms);
    struct wh_error error = cli_connection_error(err);
    if (err)
        fail(bench, "the loop", &error);
    if (loop_is_interrupted(&bench->app->loop))
        end(bench, CLI_INTERRUPTED);
}

static void connect_next(struct bench *bench)
{
    while (bench->started < bench->count + 1 && bench->started - bench->connected < CONNECTS_MAX) {
        struct wh_client *client = bench->started == 0 ? bench->publisher.client
                                                       : bench->clients[bench->started - 1].client;
        enum wh_err err = wh_client_connect(client);
        struct wh_error error = cli_connection_error(err);
        if (err)
            fail(bench, "connect", &error);
        bench->started++;
    }
}

/* Until all are connected and subscribed; a standstill of --timeout is the end. */
static void connect_all(struct bench *bench)
{
    size_t done = 0, wanted = bench->count + 1 + bench->count * bench->channels;
    uint64_t since_us = wh_clock_monotonic_us();
    while (!bench->is_over && bench->connected + bench->subscribed < wanted) {
        connect_next(bench);
        turn(bench, TURN_MS);
        if (bench->connected + bench->subscribed > done)
            since_us = wh_clock_monotonic_us();
        done = bench->connected + bench->subscribed;
        if (!bench->is_over &&
            wh_clock_monotonic_us() - since_us > bench->app->settings.timeout_ms * 1000)
            end(bench,
                app_complain(bench->app, CLI_CONNECT, "%zu of %zu connected, then nothing more",
                             bench->connected, bench->count + 1));
    }
}

static void publish_all(struct bench *bench)
{
    bench->started_us = wh_clock_monotonic_us();
    while (!bench->is_over && bench->confirmed < bench->app->settings.messages) {
        publish_some(bench);
        turn(bench, bench->app->settings.rate > 0 ? 1 : TURN_MS);
    }
    bench->ended_us = wh_clock_monotonic_us();
}

static void drain(struct bench *bench)
{
    uint64_t wanted = bench->published * bench->count;
    bench->last_us = wh_clock_monotonic_us();
    while (!bench->is_over && bench->received < wanted &&
           wh_clock_monotonic_us() - bench->last_us < DRAIN_US)
        turn(bench, TURN_MS);
}

/* ---- the result ---- */

static const struct {
    double percent;
    const char *name;
} percents[] = {{50, "p50"}, {90, "p90"}, {99, "p99"}, {99.9, "p99.9"}};
enum { PERCENT_COUNT = sizeof(percents) / sizeof(percents[0]) };

/* What never came, and what came more than once: from the counts of each subscription. */
static uint64_t count_lost(struct bench *bench)
{
    uint64_t lost = 0;
    for (size_t i = 0; i < bench->count; i++) {
        for (size_t c = 0; c < bench->channels; c++) {
            uint64_t wanted = bench->numbers[c], got = bench->clients[i].subs[c].received;
            lost += got < wanted ? wanted - got : 0;
            bench->repeated += got > wanted ? got - wanted : 0;
        }
    }
    return lost;
}

static void write_object(struct bench *bench, double seconds, uint64_t lost)
{
    struct output *out = &bench->app->out;
    struct wh_buf *line = output_object(out, "bench");
    output_number(line, "clients", bench->count);
    output_number(line, "channels", bench->channels);
    output_number(line, "published", bench->published);
    output_fraction(line, "seconds", seconds);
    output_number(line, "received", bench->received);
    for (size_t i = 0; i < PERCENT_COUNT; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%s_us", percents[i].name);
        output_number(line, key, wh_histogram_percentile(&bench->latency, percents[i].percent));
    }
    output_number(line, "max_us", bench->latency.max);
    output_number(line, "lost", lost);
    output_number(line, "repeated", bench->repeated);
    output_number(line, "reordered", bench->reordered);
    output_object_end(out, OUTPUT_DATA);
}

static void write_text(struct bench *bench, double seconds, uint64_t lost)
{
    static const char *const encodings[] = {"json", "msgpack", "protobuf"};
    double received_s = (double)(bench->last_us - bench->started_us) / 1e6;
    printf("clients    %zu, and 1 that publishes; %zu channel%s; %s\n", bench->count,
           bench->channels, bench->channels == 1 ? "" : "s",
           encodings[bench->app->settings.encoding]);
    printf("published  %llu of %llu bytes in %.3f s: %.0f msg/s\n",
           (unsigned long long)bench->published, (unsigned long long)bench->app->settings.size,
           seconds, (double)bench->published / seconds);
    printf("received   %llu in %.3f s: %.0f msg/s\n", (unsigned long long)bench->received,
           received_s, received_s > 0 ? (double)bench->received / received_s : 0.0);
    printf("latency   ");
    for (size_t i = 0; i < PERCENT_COUNT; i++)
        printf(" %s %.3f", percents[i].name,
               (double)wh_histogram_percentile(&bench->latency, percents[i].percent) / 1000);
    printf(" max %.3f ms\n", (double)bench->latency.max / 1000);
    printf("lost       %llu, repeated %llu, reordered %llu\n", (unsigned long long)lost,
           (unsigned long long)bench->repeated, (unsigned long long)bench->reordered);
}

/* ---- the command ---- */

static bool allocate(struct bench *bench)
{
    char letters[RANDOM_LETTERS + 1];
    bench->clients = wh_calloc(bench->count, sizeof(bench->clients[0]));
    bench->names = wh_calloc(bench->channels, sizeof(bench->names[0]));
    bench->numbers = wh_calloc(bench->channels, sizeof(bench->numbers[0]));
    if (!bench->clients || !bench->names || !bench->numbers) {
        end(bench, app_complain(bench->app, CLI_ERROR, "out of memory"));
        return false;
    }
    wh_random_letters(letters, RANDOM_LETTERS);
    for (size_t i = 0; i < bench->channels; i++)
        snprintf(bench->names[i], CHANNEL_BYTES, "%.64s-%s-%zu", bench->app->settings.channel,
                 letters, i);
    return true;
}

static void release(struct bench *bench)
{
    wh_client_free(bench->publisher.client);
    for (size_t i = 0; bench->clients && i < bench->count; i++) {
        wh_client_free(bench->clients[i].client);
        wh_free(bench->clients[i].subs);
    }
    wh_runtime_free(bench->runtime);
    wh_free(bench->clients);
    wh_free(bench->names);
    wh_free(bench->numbers);
    wh_buf_deinit(&bench->payload);
}

static void measure(struct bench *bench, struct connection_options *options)
{
    if (!allocate(bench) || !make_all(bench, options))
        return;
    connect_all(bench);
    if (!bench->is_over && !bench->app->out.quiet)
        output_note(&bench->app->out, OUTPUT_NOTE, '+', "%zu connected and subscribed",
                    bench->count);
    if (!bench->is_over)
        publish_all(bench);
    if (!bench->is_over)
        drain(bench);
    if (bench->is_over)
        return;
    double seconds = (double)(bench->ended_us - bench->started_us) / 1e6;
    uint64_t lost = count_lost(bench);
    if (bench->app->out.json)
        write_object(bench, seconds, lost);
    else
        write_text(bench, seconds, lost);
    if (lost > 0)
        end(bench, CLI_LOST);
}

int run_bench(struct app *app, int argc, char **argv)
{
    static struct bench bench;
    struct connection_options options;
    struct wh_runtime_options runtime = WH_RUNTIME_OPTIONS_INIT;
    struct wh_error detail = {.err = WH_OK};
    (void)argc;
    (void)argv;
    bench.app = app;
    bench.count = (size_t)app->settings.clients;
    bench.channels = (size_t)app->settings.subs;
    if (cli_connection_options_fill(app, &options))
        return CLI_USAGE;
    if (credentials_are_asked(app) && credentials_read(app, &options.client.token))
        return CLI_UNAUTHORIZED;
    if (loop_init(&app->loop))
        return app_complain(app, CLI_ERROR, "signals cannot be watched");
    cli_connection_log(app);
    runtime.mode = WH_MODE_LOOP;
    runtime.loop = WH_LOOP_NONE;
    if (wh_runtime_new(&runtime, &bench.runtime, &detail))
        end(&bench, app_complain_error(app, "the loop", &detail));
    else
        measure(&bench, &options);
    int status = bench.status;
    end(&bench, status);
    release(&bench);
    loop_deinit(&app->loop);
    return status;
}
