/*
 * bench_sdk_receiver: what `./dev bench sdk` measures libwirehub with; sdk_receiver.mjs and
 * ../conformance/go/bench do the same with the official clients and print the same lines.
 *
 *     bench_sdk_receiver receive URL json|protobuf threaded|loop MESSAGES
 *         one client, one subscription: from the first publication to the last, time and CPU
 *     bench_sdk_receiver hold URL CLIENTS
 *         that many clients on one runtime, all subscribed: memory and threads, until stdin ends
 */
#include <wirehub/wirehub.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_NUMBER = 1000000000, READY_MS = 30000, STUCK_MS = 120000 };

struct receipt {
    uint64_t expected;
    uint64_t count;
    uint64_t wrong; /* not the number that was due */
    double started, start_cpu;
    double seconds, cpu_seconds;
    _Atomic bool is_complete;
};

static _Noreturn void die(const char *what, enum wh_err err, const struct wh_error *detail)
{
    fprintf(stderr, "bench_sdk_receiver: %s: %s: %s\n", what, wh_err_text(err),
            detail ? detail->text : "");
    exit(1);
}

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t number_in(const struct wh_data *data)
{
    static const char prefix[] = "{\"n\":";
    if (data->len < sizeof prefix + 10 || memcmp(data->ptr, prefix, sizeof prefix - 1) != 0)
        return 0;
    return strtoull((const char *)data->ptr + sizeof prefix - 1, NULL, 10);
}

static void on_publication(struct wh_sub *sub, const struct wh_publication *pub, void *user)
{
    (void)sub;
    struct receipt *receipt = user;
    if (receipt->count == 0) {
        receipt->started = now_seconds();
        receipt->start_cpu = cpu_seconds();
    }
    receipt->wrong += number_in(&pub->data) != FIRST_NUMBER + receipt->count;
    if (++receipt->count == receipt->expected) {
        receipt->seconds = now_seconds() - receipt->started;
        receipt->cpu_seconds = cpu_seconds() - receipt->start_cpu;
        receipt->is_complete = true;
    }
}

static struct wh_runtime *loop_runtime(void)
{
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    options.mode = WH_MODE_LOOP;
    struct wh_runtime *runtime;
    struct wh_error detail;
    enum wh_err err = wh_runtime_new(&options, &runtime, &detail);
    if (err)
        die("runtime", err, &detail);
    return runtime;
}

static void receive(const char *url, const char *encoding, const char *mode, uint64_t messages)
{
    struct receipt receipt = {.expected = messages};
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = url;
    options.encoding = strcmp(encoding, "protobuf") == 0 ? WH_ENCODING_PROTOBUF : WH_ENCODING_JSON;
    options.encoding_required = true;
    if (strcmp(mode, "loop") == 0)
        options.runtime = loop_runtime();
    struct wh_client *client;
    struct wh_error detail;
    enum wh_err err = wh_client_new(&options, &client, &detail);
    if (err)
        die("client", err, &detail);
    if (!wh_client_subscribe(client, "bench", on_publication, &receipt))
        die("subscribe", WH_EINVAL, NULL);
    err = wh_client_connect(client);
    if (err)
        die("connect", err, NULL);
    double give_up = now_seconds() + STUCK_MS / 1e3;
    while (!receipt.is_complete && now_seconds() < give_up) {
        if (options.runtime)
            (void)wh_runtime_run_once(options.runtime, 100);
        else
            usleep(1000);
    }
    if (!receipt.is_complete)
        die("waiting for publications", WH_ETIMEOUT, NULL);
    printf("{\"messages\":%llu,\"wrong\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n",
           (unsigned long long)receipt.count, (unsigned long long)receipt.wrong, receipt.seconds,
           receipt.cpu_seconds);
    wh_client_free(client);
    wh_runtime_free(options.runtime);
}

static void on_subscribed(struct wh_sub *sub, const struct wh_subscribed *subscribed, void *user)
{
    (void)sub;
    (void)subscribed;
    atomic_fetch_add((_Atomic size_t *)user, 1);
}

static size_t status_kib(const char *field)
{
    char line[256];
    size_t value = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (!status)
        die("/proc/self/status", WH_EIO, NULL);
    while (fgets(line, sizeof line, status)) {
        if (strncmp(line, field, strlen(field)) == 0)
            value = strtoul(line + strlen(field) + 1, NULL, 10);
    }
    fclose(status);
    return value;
}

static void hold(const char *url, size_t count)
{
    static _Atomic size_t subscribed;
    struct wh_runtime *runtime;
    struct wh_error detail;
    enum wh_err err = wh_runtime_new(NULL, &runtime, &detail);
    if (err)
        die("runtime", err, &detail);
    struct wh_client **clients = calloc(count, sizeof(struct wh_client *));
    if (!clients)
        die("clients", WH_ENOMEM, NULL);
    struct wh_sub_events events = {WH_SUB_EVENTS_INIT, .subscribed = on_subscribed};
    size_t before = status_kib("VmRSS");
    for (size_t i = 0; i < count; i++) {
        struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
        options.url = url;
        options.runtime = runtime;
        struct wh_sub_options sub_options = WH_SUB_OPTIONS_INIT;
        sub_options.events = &events;
        sub_options.user = (void *)&subscribed;
        struct wh_sub *sub;
        err = wh_client_new(&options, &clients[i], &detail);
        if (!err)
            err = wh_sub_new(clients[i], "bench", &sub_options, &sub, &detail);
        if (!err)
            err = wh_sub_subscribe(sub);
        if (!err)
            err = wh_client_connect(clients[i]);
        if (err)
            die("client", err, &detail);
    }
    double give_up = now_seconds() + READY_MS / 1e3;
    while (subscribed < count && now_seconds() < give_up)
        usleep(1000);
    if (subscribed < count)
        die("waiting for subscriptions", WH_ETIMEOUT, NULL);
    printf("{\"clients\":%zu,\"before_kib\":%zu,\"rss_kib\":%zu,\"threads\":%zu}\n", count, before,
           status_kib("VmRSS"), status_kib("Threads"));
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    for (size_t i = 0; i < count; i++)
        wh_client_free(clients[i]);
    free(clients);
    wh_runtime_free(runtime);
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "receive") == 0) {
        receive(argv[2], argv[3], argv[4], strtoull(argv[5], NULL, 10));
    } else if (argc == 4 && strcmp(argv[1], "hold") == 0) {
        hold(argv[2], strtoul(argv[3], NULL, 10));
    } else {
        fprintf(stderr,
                "usage: bench_sdk_receiver receive URL json|protobuf threaded|loop MESSAGES\n"
                "       bench_sdk_receiver hold URL CLIENTS\n");
        return 2;
    }
    return 0;
}
