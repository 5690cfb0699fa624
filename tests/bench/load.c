/*
 * Generator and meter of `./dev bench fanout`: opens N WebSocket subscribers, publishes M messages
 * through Redis, and reports what a delivery cost the server, how long it took, and whether every
 * subscriber got every message once and in order.  A run in which one did not is a failed run, its
 * figures notwithstanding.
 *
 * Two ways of publishing.  Paced: `rate` messages a second, to see the cost and the latency of a
 * server that has time.  Closed loop: `in_flight` messages are under way at any moment and the next
 * is published when all subscribers have one, to see what it can do at most.
 *
 * The headline is CPU time of the server's processes over the publish window divided by
 * deliveries: it survives a noisy machine, which wall-clock times do not.
 *
 * One thread, one epoll.  Exit status: 0 a good run, 1 a failed one, 2 a wrong command line.
 */
#include "meter.h"
#include "procfs.h"
#include "publisher.h"
#include "subscriber.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EVENTS = 1024, STRAY_WAIT_MS = 200, WARM_UP = 5 };

static const uint64_t SECOND_NS = 1000000000U;

struct options {
    const char *name; /* of the server, for the report */
    const char *json; /* file that gets the row appended, NULL = none */
    const char *path;
    const char *channel;
    const char *token;
    uint32_t port;
    uint32_t redis_port;
    uint32_t subscribers;
    uint32_t messages;
    uint32_t rate;      /* a second; 0 = closed loop */
    uint32_t in_flight; /* closed loop only */
    uint32_t payload_bytes;
    uint32_t connecting_max;
    uint32_t receivers_min;
    uint32_t timeout_s; /* of each: connecting, and the time without any delivery */
    struct process_set servers;
};

struct load {
    struct options options;
    struct target target;
    struct meter meter;
    struct publisher publisher;
    struct subscriber *subscribers;
    uint32_t opened;
    uint32_t ready;
    uint32_t failed;
    const char *first_failure;
};

/* What the run cost; filled phase by phase. */
struct result {
    double connect_cpu_us;   /* server, per connection: upgrade, connect, subscribe */
    double rss_bytes;        /* server, per connection */
    double seconds;          /* first publish to last delivery */
    double server_cpu_us;    /* over the publish window */
    double generator_cpu_us; /* the same, ours */
    uint64_t lost;
    bool ok;
};

static double own_cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void count_outcome(struct load *load, const struct subscriber *subscriber)
{
    if (subscriber->state == SUBSCRIBER_READY) {
        load->ready++;
    } else if (subscriber->state == SUBSCRIBER_FAILED) {
        load->failed++;
        if (load->first_failure == NULL) {
            load->first_failure = subscriber->failure;
        }
    }
}

/* Waits for events and handles them; the publisher is the event without a subscriber. */
static void turn(struct load *load, int wait_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(load->target.epoll_fd, events, EVENTS, wait_ms);
    for (int i = 0; i < count; i++) {
        struct subscriber *subscriber = events[i].data.ptr;
        if (subscriber == NULL) {
            publisher_on_readable(&load->publisher);
            continue;
        }
        enum subscriber_state before = subscriber->state;
        subscriber_on_ready(subscriber, &load->target);
        if (subscriber->state != before) {
            count_outcome(load, subscriber);
        }
    }
}

/* True when all are subscribed.  A failure of one ends the run: it could not be compared. */
static bool connect_all(struct load *load)
{
    const struct options *options = &load->options;
    uint64_t deadline = meter_now_ns() + options->timeout_s * SECOND_NS;
    while (load->ready < options->subscribers && load->failed == 0) {
        while (load->opened < options->subscribers &&
               load->opened - load->ready < options->connecting_max && load->failed == 0) {
            struct subscriber *subscriber = &load->subscribers[load->opened];
            subscriber->index = load->opened++;
            subscriber_open(subscriber, &load->target);
            if (subscriber->state == SUBSCRIBER_FAILED) {
                count_outcome(load, subscriber);
            }
        }
        turn(load, 100);
        if (meter_now_ns() > deadline) {
            fprintf(stderr, "%u of %u subscribers were ready in time\n", load->ready,
                    options->subscribers);
            return false;
        }
    }
    return load->failed == 0;
}

static bool is_broken(const struct load *load)
{
    return load->failed > 0 || load->publisher.failed;
}

/* How long to sleep before the message due next; 0 = publish now. */
static int pause_ms(const struct load *load, uint64_t start_ns, uint32_t first, uint32_t in_flight)
{
    uint32_t rate = load->options.rate;
    if (in_flight > 0) {
        return load->publisher.published - load->meter.complete < in_flight ? 0 : 1000;
    }
    uint64_t due = start_ns + (load->publisher.published - first) * SECOND_NS / rate;
    uint64_t now = meter_now_ns();
    return due <= now ? 0 : (int)((due - now) / 1000000U) + 1;
}

/*
 * Publishes up to message `end` and waits until all of them are everywhere.  `in_flight` 0 = paced.
 * Gives up when nothing has been delivered for a time-out.
 */
static void publish_until(struct load *load, uint32_t end, uint32_t in_flight)
{
    uint64_t start = meter_now_ns();
    uint64_t progress_at = start;
    uint32_t first = load->publisher.published;
    uint64_t frames = load->meter.frames;
    while (load->meter.complete < end && !is_broken(load)) {
        int wait = 1000;
        if (load->publisher.published < end) {
            wait = pause_ms(load, start, first, in_flight);
            if (wait == 0) {
                publisher_publish(&load->publisher);
            }
        }
        turn(load, wait);
        uint64_t now = meter_now_ns();
        if (load->meter.frames != frames) {
            frames = load->meter.frames;
            progress_at = now;
        } else if (now - progress_at > load->options.timeout_s * SECOND_NS) {
            fprintf(stderr, "nothing was delivered for %u s\n", load->options.timeout_s);
            return;
        }
    }
}

/* Duplicates come late if they come; the cost of waiting for them is not in the figures. */
static void wait_for_strays(struct load *load)
{
    uint64_t end = meter_now_ns() + STRAY_WAIT_MS * 1000000U;
    while (meter_now_ns() < end) {
        turn(load, 20);
    }
}

static bool measure(const struct load *load, struct process_cost *out_cost)
{
    if (!process_set_measure(&load->options.servers, out_cost)) {
        fprintf(stderr, "a process of the server is gone\n");
        return false;
    }
    return true;
}

static bool run(struct load *load, struct result *result)
{
    const struct options *options = &load->options;
    struct process_cost idle;
    struct process_cost connected;
    struct process_cost before;
    struct process_cost after;
    if (!measure(load, &idle) || !connect_all(load) || !measure(load, &connected)) {
        return false;
    }
    result->connect_cpu_us = (connected.cpu_us - idle.cpu_us) / options->subscribers;
    result->rss_bytes =
        ((double)connected.rss_bytes - (double)idle.rss_bytes) / options->subscribers;

    publish_until(load, WARM_UP, 1);
    if (!measure(load, &before)) {
        return false;
    }
    double own_before = own_cpu_us();
    uint64_t start = meter_now_ns();
    load->meter.reads = 0;
    load->meter.frames = 0;
    publish_until(load, WARM_UP + options->messages, options->rate > 0 ? 0 : options->in_flight);
    result->seconds = (double)(meter_now_ns() - start) / 1e9;
    result->generator_cpu_us = own_cpu_us() - own_before;
    if (!measure(load, &after)) {
        return false;
    }
    result->server_cpu_us = after.cpu_us - before.cpu_us;
    uint64_t frames = load->meter.frames;
    uint64_t reads = load->meter.reads;
    wait_for_strays(load);
    load->meter.frames = frames;
    load->meter.reads = reads;
    result->lost = meter_lost(&load->meter, WARM_UP + options->messages);
    return !is_broken(load) && result->lost == 0 && load->meter.duplicate == 0 &&
           load->meter.reordered == 0 && load->meter.foreign == 0;
}

static double per_delivery(const struct load *load, double amount)
{
    return load->meter.delivered > 0 ? amount / (double)load->meter.delivered : 0;
}

static double percentile_us(const struct load *load, double percent)
{
    return (double)wh_histogram_percentile(&load->meter.latency_ns, percent) / 1000.0;
}

/* The heading is for the eye only and is left out by --no-heading when rows are collected. */
static void print_row(const struct load *load, const struct result *result, bool heading)
{
    const struct options *options = &load->options;
    if (heading) {
        printf("%-10s %-7s %6s %10s %7s %9s %9s %9s %9s %8s %7s %7s  %s\n", "server", "mode",
               "subs", "deliveries", "µs/del", "del/s", "p50 µs", "p99 µs", "max µs", "conn µs",
               "B/conn", "gen CPU", "verdict");
    }
    printf("%-10s %-7s %6u %10" PRIu64 " %7.2f %9.0f %9.0f %9.0f %9.0f %8.1f %7.0f %6.0f%%  %s\n",
           options->name, options->rate > 0 ? "paced" : "closed", options->subscribers,
           load->meter.delivered, per_delivery(load, result->server_cpu_us),
           result->seconds > 0 ? (double)load->meter.delivered / result->seconds : 0,
           percentile_us(load, 50), percentile_us(load, 99),
           (double)load->meter.latency_ns.max / 1000.0, result->connect_cpu_us, result->rss_bytes,
           result->seconds > 0 ? result->generator_cpu_us / result->seconds / 1e4 : 0,
           result->ok ? "ok" : "FAILED");
    if (!result->ok) {
        printf("  lost %" PRIu64 ", duplicate %" PRIu64 ", reordered %" PRIu64 ", foreign %" PRIu64
               ", broken connections %u%s%s\n",
               result->lost, load->meter.duplicate, load->meter.reordered, load->meter.foreign,
               load->failed, load->first_failure != NULL ? ": " : "",
               load->first_failure != NULL ? load->first_failure : "");
    }
    fflush(stdout);
}

static void write_json(const struct load *load, const struct result *result, FILE *out)
{
    const struct options *options = &load->options;
    const struct meter *meter = &load->meter;
    fprintf(out,
            "{\"bench\":\"fanout\",\"server\":\"%s\",\"mode\":\"%s\",\"subscribers\":%u,"
            "\"messages\":%u,\"rate\":%u,\"in_flight\":%u,\"payload_bytes\":%u,",
            options->name, options->rate > 0 ? "paced" : "closed", options->subscribers,
            options->messages, options->rate, options->rate > 0 ? 0 : options->in_flight,
            options->payload_bytes);
    fprintf(out,
            "\"deliveries\":%" PRIu64 ",\"seconds\":%.3f,\"server_cpu_us_per_delivery\":%.3f,"
            "\"deliveries_per_second\":%.0f,",
            meter->delivered, result->seconds, per_delivery(load, result->server_cpu_us),
            result->seconds > 0 ? (double)meter->delivered / result->seconds : 0);
    fprintf(out,
            "\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f},",
            percentile_us(load, 50), percentile_us(load, 90), percentile_us(load, 99),
            percentile_us(load, 99.9), (double)meter->latency_ns.max / 1000.0);
    fprintf(out,
            "\"connect_cpu_us\":%.2f,\"rss_bytes_per_connection\":%.0f,"
            "\"generator_cpu_share\":%.3f,\"messages_per_frame\":%.2f,\"messages_per_read\":%.2f,",
            result->connect_cpu_us, result->rss_bytes,
            result->seconds > 0 ? result->generator_cpu_us / result->seconds / 1e6 : 0,
            meter->frames > 0 ? (double)meter->delivered / (double)meter->frames : 0,
            meter->reads > 0 ? (double)meter->delivered / (double)meter->reads : 0);
    fprintf(out,
            "\"lost\":%" PRIu64 ",\"duplicate\":%" PRIu64 ",\"reordered\":%" PRIu64
            ",\"foreign\":%" PRIu64 ",\"broken_connections\":%u,\"ok\":%s}\n",
            result->lost, meter->duplicate, meter->reordered, meter->foreign, load->failed,
            result->ok ? "true" : "false");
}

static bool report(const struct load *load, const struct result *result, bool heading)
{
    print_row(load, result, heading);
    if (load->options.json == NULL) {
        return true;
    }
    FILE *file = fopen(load->options.json, "ae");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", load->options.json, strerror(errno));
        return false;
    }
    write_json(load, result, file);
    return fclose(file) == 0;
}

/* Files for the subscribers and a few of our own; says so when the limit is too low. */
static bool raise_file_limit(uint32_t subscribers)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < subscribers + 64U) {
        fprintf(stderr, "%u subscribers need %u open files; the limit here is %ju (ulimit -n)\n",
                subscribers, subscribers + 64U, (uintmax_t)files.rlim_cur);
        return false;
    }
    return true;
}

static bool set_up(struct load *load)
{
    const struct options *options = &load->options;
    load->target = (struct target){
        .address = {.sin_family = AF_INET,
                    .sin_port = htons((uint16_t)options->port),
                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .path = options->path,
        .channel = options->channel,
        .token = options->token,
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .meter = &load->meter,
    };
    load->publisher = (struct publisher){
        .channel = options->channel,
        .payload_bytes = options->payload_bytes,
        .receivers_min = options->receivers_min,
    };
    load->subscribers = calloc(options->subscribers, sizeof(*load->subscribers));
    if (load->target.epoll_fd < 0 || load->subscribers == NULL ||
        !meter_init(&load->meter, options->subscribers, WARM_UP + options->messages, WARM_UP)) {
        fprintf(stderr, "out of memory or files\n");
        return false;
    }
    publisher_open(&load->publisher, (uint16_t)options->redis_port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    return !load->publisher.failed &&
           epoll_ctl(load->target.epoll_fd, EPOLL_CTL_ADD, load->publisher.fd, &event) == 0;
}

static void tear_down(struct load *load)
{
    for (uint32_t i = 0; i < load->opened; i++) {
        subscriber_close(&load->subscribers[i]);
    }
    free(load->subscribers);
    meter_deinit(&load->meter);
    close(load->target.epoll_fd);
    close(load->publisher.fd);
}

static const char USAGE[] =
    "usage: load --port N --redis-port N [option ...]\n"
    "  --name TEXT           of the server, in the report (server)\n"
    "  --path PATH           of the WebSocket endpoint (/connection/websocket)\n"
    "  --channel NAME        (bench)\n"
    "  --token JWT           sent with connect (none)\n"
    "  --subscribers N       (50)\n"
    "  --messages N          (100)\n"
    "  --rate N              messages a second; 0 = closed loop (50)\n"
    "  --in-flight N         of the closed loop (4)\n"
    "  --size BYTES          of the payload (128)\n"
    "  --connecting N        connections opening at a time (64)\n"
    "  --receivers N         Redis subscribers every PUBLISH must reach (1)\n"
    "  --timeout SECONDS     (30)\n"
    "  --pid N               a process of the server; may be repeated\n"
    "  --with-children       and all their descendants\n"
    "  --json FILE           append the row to FILE\n"
    "  --no-heading          print the row only\n";

enum option_id {
    OPTION_NUMBER = 1000, /* numbers follow, in the order of `numbers` in parse_options */
    OPTION_NUMBER_END = OPTION_NUMBER + 10,
    OPTION_NAME,
    OPTION_JSON,
    OPTION_PATH,
    OPTION_CHANNEL,
    OPTION_TOKEN,
    OPTION_PID,
    OPTION_CHILDREN,
    OPTION_NO_HEADING,
};

static const struct option LONG_OPTIONS[] = {
    {"port", required_argument, NULL, OPTION_NUMBER},
    {"redis-port", required_argument, NULL, OPTION_NUMBER + 1},
    {"subscribers", required_argument, NULL, OPTION_NUMBER + 2},
    {"messages", required_argument, NULL, OPTION_NUMBER + 3},
    {"rate", required_argument, NULL, OPTION_NUMBER + 4},
    {"in-flight", required_argument, NULL, OPTION_NUMBER + 5},
    {"size", required_argument, NULL, OPTION_NUMBER + 6},
    {"connecting", required_argument, NULL, OPTION_NUMBER + 7},
    {"receivers", required_argument, NULL, OPTION_NUMBER + 8},
    {"timeout", required_argument, NULL, OPTION_NUMBER + 9},
    {"name", required_argument, NULL, OPTION_NAME},
    {"json", required_argument, NULL, OPTION_JSON},
    {"path", required_argument, NULL, OPTION_PATH},
    {"channel", required_argument, NULL, OPTION_CHANNEL},
    {"token", required_argument, NULL, OPTION_TOKEN},
    {"pid", required_argument, NULL, OPTION_PID},
    {"with-children", no_argument, NULL, OPTION_CHILDREN},
    {"no-heading", no_argument, NULL, OPTION_NO_HEADING},
    {NULL, 0, NULL, 0},
};

static bool parse_number(const char *text, uint32_t *out_number)
{
    char *end = NULL;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number > 10000000) {
        fprintf(stderr, "not a number in range: %s\n", text);
        return false;
    }
    *out_number = (uint32_t)number;
    return true;
}

/* The parsed value of every text and flag option; numbers go by their place in the table. */
static bool set_option(struct options *options, int id, bool *children, bool *heading)
{
    uint32_t *numbers[] = {
        &options->port,          &options->redis_port,     &options->subscribers,
        &options->messages,      &options->rate,           &options->in_flight,
        &options->payload_bytes, &options->connecting_max, &options->receivers_min,
        &options->timeout_s,
    };
    uint32_t pid = 0;
    if (id >= OPTION_NUMBER && id < OPTION_NUMBER_END) {
        return parse_number(optarg, numbers[id - OPTION_NUMBER]);
    }
    switch (id) {
    case OPTION_NAME:
        options->name = optarg;
        return true;
    case OPTION_JSON:
        options->json = optarg;
        return true;
    case OPTION_PATH:
        options->path = optarg;
        return true;
    case OPTION_CHANNEL:
        options->channel = optarg;
        return true;
    case OPTION_TOKEN:
        options->token = optarg;
        return true;
    case OPTION_PID:
        if (!parse_number(optarg, &pid) || options->servers.count == PROCESSES_MAX) {
            return false;
        }
        options->servers.pids[options->servers.count++] = (pid_t)pid;
        return true;
    case OPTION_CHILDREN:
        *children = true;
        return true;
    case OPTION_NO_HEADING:
        *heading = false;
        return true;
    default:
        return false;
    }
}

static bool parse_options(int argc, char **argv, struct options *options, bool *heading)
{
    bool children = false;
    for (;;) {
        int id = getopt_long(argc, argv, "", LONG_OPTIONS, NULL);
        if (id == -1) {
            break;
        }
        if (!set_option(options, id, &children, heading)) {
            return false;
        }
    }
    if (children) {
        process_set_add_children(&options->servers);
    }
    return optind == argc && options->port > 0 && options->port < 65536 &&
           options->redis_port > 0 && options->redis_port < 65536 && options->subscribers > 0 &&
           options->messages > 0 && options->payload_bytes < PAYLOAD_MAX &&
           options->connecting_max > 0 && (options->rate > 0 || options->in_flight > 0) &&
           strlen(options->channel) <= 255;
}

int main(int argc, char **argv)
{
    bool heading = true;
    struct result result = {0};
    static struct load load;
    load.options = (struct options){
        .name = "server",
        .path = "/connection/websocket",
        .channel = "bench",
        .subscribers = 50,
        .messages = 100,
        .rate = 50,
        .in_flight = 4,
        .payload_bytes = 128,
        .connecting_max = 64,
        .receivers_min = 1,
        .timeout_s = 30,
    };
    if (!parse_options(argc, argv, &load.options, &heading)) {
        fputs(USAGE, stderr);
        return 2;
    }
    if (!raise_file_limit(load.options.subscribers) || !set_up(&load)) {
        return 1;
    }
    result.ok = run(&load, &result);
    bool reported = report(&load, &result, heading);
    tear_down(&load);
    return result.ok && reported ? 0 : 1;
}
