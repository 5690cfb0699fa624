#include "rpc_pace.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const uint64_t WARM_UP_NS = 300000000;
static const uint64_t DRAIN_NS = 3000000000;
static const uint64_t SECOND_NS = 1000000000;

static const char USAGE[] = "usage: %s --transport NAME --address PATH|PORT [option ...]\n"
                            "  --method NAME       called through the hub (bench.v1.echo)\n"
                            "  --in-flight N       calls under way (1)\n"
                            "  --rate N            calls a second instead\n"
                            "  --milliseconds N    measured, after a warm-up (1000)\n"
                            "  --size BYTES        of the payload (256)\n"
                            "  --connections N     WebSockets (1)\n"
                            "  --pid NAME=PID      a process to measure, with its children\n"
                            "  --json FILE         append the row to FILE\n";

static void usage(const char *program)
{
    fprintf(stderr, USAGE, program);
    exit(2);
}

static uint32_t number(const char *program, const char *text)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value > 100000000) {
        usage(program);
    }
    return (uint32_t)value;
}

static void add_role(const char *program, char *text, struct pace_options *options)
{
    char *pid = strchr(text, '=');
    if (pid == NULL || options->roles_count == PACE_ROLES_MAX) {
        usage(program);
        return;
    }
    *pid++ = '\0';
    options->roles[options->roles_count].name = text;
    options->roles[options->roles_count].processes.pids[0] = (pid_t)number(program, pid);
    options->roles[options->roles_count].processes.count = 1;
    process_set_add_children(&options->roles[options->roles_count].processes);
    options->roles_count++;
}

void pace_parse(int argc, char **argv, struct pace_options *out_options)
{
    static const struct option known[] = {
        {"transport", required_argument, NULL, 't'},
        {"address", required_argument, NULL, 'a'},
        {"method", required_argument, NULL, 'm'},
        {"json", required_argument, NULL, 'j'},
        {"pid", required_argument, NULL, 'p'},
        {"in-flight", required_argument, NULL, 0},
        {"rate", required_argument, NULL, 1},
        {"milliseconds", required_argument, NULL, 2},
        {"size", required_argument, NULL, 3},
        {"connections", required_argument, NULL, 4},
        {NULL, 0, NULL, 0},
    };
    struct pace_options options = {.method = "bench.v1.echo",
                                   .in_flight = 1,
                                   .milliseconds = 1000,
                                   .size = 256,
                                   .connections = 1};
    uint32_t *numbers[] = {&options.in_flight, &options.rate, &options.milliseconds, &options.size,
                           &options.connections};
    for (int id; (id = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (id >= 0 && id <= 4) {
            *numbers[id] = number(argv[0], optarg);
        } else if (id == 'p') {
            add_role(argv[0], optarg, &options);
        } else if (id == 't') {
            options.transport = optarg;
        } else if (id == 'a') {
            options.address = optarg;
        } else if (id == 'm') {
            options.method = optarg;
        } else if (id == 'j') {
            options.json = optarg;
        } else {
            usage(argv[0]);
        }
    }
    if (optind != argc || options.transport == NULL || options.address == NULL ||
        options.in_flight == 0 || options.in_flight > PACE_AT_RATE_MAX || options.size < 16 ||
        options.size > 4096 || options.connections == 0 || options.connections > 1000) {
        usage(argv[0]);
    }
    *out_options = options;
}

uint64_t pace_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void pace_start(struct pace *pace, const struct pace_options *options)
{
    pace->options = options;
    pace->next_id = 1;
    pace->began_ns = pace_now_ns();
}

/* Adds the CPU times of now, with `sign` 1 at the end of the stretch and -1 at its begin. */
static void measure(struct pace *pace, double sign)
{
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    pace->own_cpu_us += sign * ((double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) * 1e6 +
                                (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec));
    for (uint32_t i = 0; i < pace->options->roles_count; i++) {
        struct process_cost cost = {0};
        if (!process_set_measure(&pace->options->roles[i].processes, &cost)) {
            fprintf(stderr, "%s is gone\n", pace->options->roles[i].name);
            pace->failed++;
        }
        pace->cpu_us[i] += sign * cost.cpu_us;
    }
}

static void advance(struct pace *pace, uint64_t now_ns)
{
    uint64_t length_ns = (uint64_t)pace->options->milliseconds * 1000000;
    if (pace->phase == PACE_WARM_UP && now_ns >= pace->began_ns + WARM_UP_NS) {
        pace->phase = PACE_MEASURE;
        measure(pace, -1);
        pace->measure_ns = pace_now_ns();
    } else if (pace->phase == PACE_MEASURE && now_ns >= pace->measure_ns + length_ns) {
        pace->phase = PACE_DRAIN;
        pace->drain_ns = pace_now_ns();
        measure(pace, 1);
    } else if (pace->phase == PACE_DRAIN &&
               (pace->in_flight == 0 || now_ns >= pace->drain_ns + DRAIN_NS)) {
        pace->phase = PACE_OVER;
        pace->failed += pace->in_flight;
    }
}

uint32_t pace_due(struct pace *pace, uint64_t now_ns)
{
    advance(pace, now_ns);
    if (pace->phase >= PACE_DRAIN) {
        return 0;
    }
    if (pace->options->rate == 0) {
        return pace->options->in_flight - (uint32_t)pace->in_flight;
    }
    double should = (double)(now_ns - pace->began_ns) / (double)SECOND_NS * pace->options->rate;
    double due = should - (double)(pace->next_id - 1);
    double room = PACE_AT_RATE_MAX - (double)pace->in_flight;
    return due <= 0 ? 0 : (uint32_t)(due < room ? due : room);
}

uint64_t pace_begin(struct pace *pace, uint64_t now_ns)
{
    uint64_t id = pace->next_id++;
    uint64_t *sent_ns = &pace->sent_ns[id % PACE_RING];
    if (*sent_ns != 0) { /* a whole ring later it still has no answer */
        pace->failed++;
        pace->in_flight--;
    }
    *sent_ns = now_ns;
    pace->in_flight++;
    return id;
}

void pace_end(struct pace *pace, uint64_t id, bool is_good, uint64_t now_ns)
{
    uint64_t *sent_ns = &pace->sent_ns[id % PACE_RING];
    if (id == 0 || id >= pace->next_id || id + PACE_RING < pace->next_id || *sent_ns == 0) {
        pace->failed++;
        return;
    }
    if (!is_good) {
        pace->failed++;
    } else if (pace->phase == PACE_MEASURE) {
        pace->ended++;
        if (*sent_ns >= pace->measure_ns) {
            wh_histogram_record(&pace->latency_ns, now_ns - *sent_ns);
        }
    }
    *sent_ns = 0;
    pace->in_flight--;
}

static void write_row(const struct pace *pace, FILE *file)
{
    const struct pace_options *options = pace->options;
    double seconds = (double)(pace->drain_ns - pace->measure_ns) / (double)SECOND_NS;
    double calls = pace->ended > 0 ? (double)pace->ended : 1;
    double total_us = pace->own_cpu_us;
    fprintf(file,
            "{\"bench\":\"rpc\",\"transport\":\"%s\",\"in_flight\":%" PRIu32 ",\"rate\":%" PRIu32
            ",\"size\":%" PRIu32 ",\"connections\":%" PRIu32 ",\"calls\":%" PRIu64
            ",\"seconds\":%.3f,\"calls_per_second\":%.0f,",
            options->transport, options->rate > 0 ? 0 : options->in_flight, options->rate,
            options->size, options->connections, pace->ended, seconds,
            (double)pace->ended / seconds);
    fprintf(file, "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"cpu_us\":{\"caller\":%.3f",
            (double)wh_histogram_percentile(&pace->latency_ns, 50) / 1000,
            (double)wh_histogram_percentile(&pace->latency_ns, 99) / 1000,
            (double)pace->latency_ns.max / 1000, pace->own_cpu_us / calls);
    for (uint32_t i = 0; i < options->roles_count; i++) {
        fprintf(file, ",\"%s\":%.3f", options->roles[i].name, pace->cpu_us[i] / calls);
        total_us += pace->cpu_us[i];
    }
    fprintf(file, "},\"cpu_us_total\":%.3f,\"failed\":%" PRIu64 ",\"ok\":%s}\n", total_us / calls,
            pace->failed, pace->failed == 0 && pace->ended > 0 ? "true" : "false");
}

int pace_report(const struct pace *pace)
{
    FILE *file = pace->options->json != NULL ? fopen(pace->options->json, "ae") : stdout;
    if (file == NULL) {
        perror(pace->options->json);
        return 1;
    }
    write_row(pace, file);
    if (file != stdout && fclose(file) != 0) {
        return 1;
    }
    return pace->failed == 0 && pace->ended > 0 ? 0 : 1;
}
