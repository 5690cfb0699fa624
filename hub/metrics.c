/*
 * One anonymous shared mapping holds a column per worker and one for the
 * supervisor, each on cache lines of its own.  A column has one writer, so
 * adding is a relaxed load and a relaxed store: no locked instruction on the
 * hot path.  Readers sum; they may see one counter a moment before another.
 *
 * Codes and reasons are not known beforehand, so each column keeps small open
 * tables for them: an entry is written first and then published by a release
 * store of `used`.  Entries are never removed, as a counter must not vanish.
 *
 * Families are listed in the order of the exposition, and each writes all its
 * samples at once: so a family stands together whatever its rows' order.
 */
#include "hub/metrics_internal.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wh_version.h>

enum { WORKERS_MAX = 4096 };

/* The label value of everything that found no room in a table. */
#define OTHER "other"

/* COUNTER_US counts microseconds and is shown in seconds, the base unit that Prometheus asks for.
 */
enum family_type { GAUGE, COUNTER, COUNTER_US };

/* X(family, name without prefix, type, help) */
#define FAMILY_LIST(X)                                                                             \
    X(CONNECTIONS, "connections", GAUGE, "Connections that completed connect.")                    \
    X(CONNECTIONS_TOTAL, "connections_total", COUNTER,                                             \
      "Connections that were upgraded to WebSocket.")                                              \
    X(USERS, "users", GAUGE, "Distinct users connected to a worker, summed over workers.")         \
    X(CHANNELS, "channels", GAUGE, "Channels with a subscriber on a worker, summed over workers.") \
    X(SUBSCRIPTIONS, "subscriptions", GAUGE, "Subscriptions of all connections.")                  \
    X(MESSAGES_RECEIVED, "messages_received_total", COUNTER, "Commands received from clients.")    \
    X(BYTES_RECEIVED, "bytes_received_total", COUNTER, "Bytes of messages received from clients.") \
    X(MESSAGES_SENT, "messages_sent_total", COUNTER, "Messages sent to clients.")                  \
    X(WIRE_BYTES, "wire_bytes_total", COUNTER,                                                     \
      "Bytes sent to clients, WebSocket headers included.")                                        \
    X(PUBLICATIONS_RECEIVED, "publications_received_total", COUNTER,                               \
      "Publications that came from the broker.")                                                   \
    X(PUBLICATIONS_SKIPPED, "publications_skipped_total", COUNTER,                                 \
      "Deliveries skipped: the client's encoding cannot carry them, or they are invalid.")         \
    X(SLOW_DISCONNECTS, "slow_disconnects_total", COUNTER,                                         \
      "Clients cut because their queue was over its limit.")                                       \
    X(QUEUE_BYTES, "queue_bytes", GAUGE, "Bytes waiting for slow clients.")                        \
    X(CONNECTIONS_REFUSED, "connections_refused_total", COUNTER, "Upgrades refused.")              \
    X(REPLY_ERRORS, "reply_errors_total", COUNTER, "Error replies to clients.")                    \
    X(DISCONNECTS, "disconnects_total", COUNTER, "Connections closed by the hub.")                 \
    X(UNSUBSCRIBES, "unsubscribes_total", COUNTER, "Subscriptions ended by the hub.")              \
    X(AUTH_FAILURES, "auth_failures_total", COUNTER, "Tokens refused.")                            \
    X(RATE_LIMITED, "rate_limited_total", COUNTER,                                                 \
      "Commands and calls refused by client.rate_limit.")                                          \
    X(HTTP_REQUESTS, "http_requests_total", COUNTER, "HTTP requests answered.")                    \
    X(REDIS_UP, "redis_up", GAUGE, "Workers whose Redis link is up.")                              \
    X(REDIS_RECONNECTS, "redis_reconnects_total", COUNTER, "Reconnections to Redis.")              \
    X(REDIS_COMMANDS, "redis_commands_total", COUNTER, "Commands sent to Redis.")                  \
    X(REDIS_ERRORS, "redis_errors_total", COUNTER,                                                 \
      "Commands that Redis refused or did not answer.")                                            \
    X(RPC_LATE_REPLIES, "rpc_late_replies_total", COUNTER,                                         \
      "Answers of services that came when their call had ended, or to none.")                      \
    X(RPC_INVALID_REPLIES, "rpc_invalid_replies_total", COUNTER,                                   \
      "Messages from services that could not be read.")                                            \
    X(CONFIG_RELOAD, "config_reload_total", COUNTER, "Configuration reloads.")                     \
    X(TRACE_SPANS_EXPORTED, "trace_spans_exported_total", COUNTER,                                 \
      "Spans that the collector took.")                                                            \
    X(TRACE_SPANS_DROPPED, "trace_spans_dropped_total", COUNTER,                                   \
      "Spans lost: no room, no memory, or a collector that refused them or stayed away.")          \
    X(LOOP_TURNS, "loop_turns_total", COUNTER, "Turns of the event loops.")                        \
    X(LOOP_BUSY, "loop_busy_seconds_total", COUNTER_US, "Time the event loops spent working.")     \
    X(WORKER_RESTARTS, "worker_restarts_total", COUNTER, "Workers that ended and were replaced.")

enum family {
#define X(family, name, type, help) FAMILY_##family,
    FAMILY_LIST(X)
#undef X
        FAMILY_COUNT
};

static const struct {
    const char *name;
    enum family_type type;
    const char *help;
} families[FAMILY_COUNT] = {
#define X(family, name, type, help) {name, type, help},
    FAMILY_LIST(X)
#undef X
};

static const struct {
    enum family family;
    const char *labels;
} rows[METRIC_COUNT] = {
#define X(id, family, labels) {FAMILY_##family, labels},
    METRIC_LIST(X)
#undef X
};

/* The families whose label values are met at run time. */
static const struct {
    enum family family;
    const char *label;
} tables[TABLE_COUNT] = {
    [METRIC_REPLY_ERRORS] = {FAMILY_REPLY_ERRORS, "code"},
    [METRIC_DISCONNECTS] = {FAMILY_DISCONNECTS, "code"},
    [METRIC_UNSUBSCRIBES] = {FAMILY_UNSUBSCRIBES, "code"},
    [TABLE_AUTH_FAILURES] = {FAMILY_AUTH_FAILURES, "reason"},
};

enum wh_err metrics_shared_new(unsigned workers, struct metrics_shared **out_shared)
{
    if (workers == 0 || workers > WORKERS_MAX)
        return WH_EINVAL;
    unsigned columns = workers + 1;
    size_t size = sizeof(struct metrics_shared) + columns * sizeof(struct metrics);
    struct metrics_shared *shared =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return WH_ENOMEM;
    shared->size = size;
    shared->columns = columns;
    *out_shared = shared;
    return WH_OK;
}

void metrics_shared_free(struct metrics_shared *shared)
{
    if (shared)
        munmap(shared, shared->size);
}

static bool is_gauge(enum metric metric)
{
    return families[rows[metric].family].type == GAUGE;
}

static struct metrics *column_claim(struct metrics_shared *shared, unsigned index)
{
    WH_ASSERT(index < shared->columns);
    struct metrics *metrics = &shared->column[index];
    for (enum metric metric = 0; metric < METRIC_COUNT; metric++)
        if (is_gauge(metric))
            metric_put(&metrics->values[metric], 0);
    metric_put(&metrics->descriptors, 0);
    metrics_rpc_claim(metrics);
    atomic_store_explicit(&metrics->pid, getpid(), memory_order_release);
    return metrics;
}

struct metrics *metrics_open(struct metrics_shared *shared, unsigned index)
{
    WH_ASSERT(index + 1 < shared->columns);
    return column_claim(shared, index);
}

struct metrics *metrics_open_supervisor(struct metrics_shared *shared)
{
    return column_claim(shared, shared->columns - 1);
}

void metrics_close(struct metrics_shared *shared, unsigned index)
{
    WH_ASSERT(index + 1 < shared->columns);
    atomic_store_explicit(&shared->column[index].pid, 0, memory_order_release);
}

void metrics_add(struct metrics *metrics, enum metric metric, int64_t delta)
{
    metric_bump(&metrics->values[metric], delta);
}

void metrics_set(struct metrics *metrics, enum metric metric, int64_t value)
{
    metric_put(&metrics->values[metric], value);
}

static void table_count(struct label_table *table, const char *word)
{
    unsigned used = atomic_load_explicit(&table->used, memory_order_relaxed);
    unsigned i = 0;
    while (i < used && strcmp(table->words[i], word) != 0)
        i++;
    if (i == METRIC_LABELS_MAX || strcmp(word, OTHER) == 0) {
        metric_bump(&table->other, 1);
        return;
    }
    if (i == used) {
        snprintf(table->words[i], METRICS_WORD_SIZE, "%s", word);
        metric_put(&table->counts[i], 0);
        atomic_store_explicit(&table->used, used + 1, memory_order_release);
    }
    metric_bump(&table->counts[i], 1);
}

void metrics_count_code(struct metrics *metrics, enum metric_code_family family, uint32_t code)
{
    char word[METRICS_WORD_SIZE];
    snprintf(word, sizeof word, "%lu", (unsigned long)code);
    table_count(&metrics->tables[family], word);
}

void metrics_count_auth_failure(struct metrics *metrics, const char *reason)
{
    char word[METRICS_WORD_SIZE];
    snprintf(word, sizeof word, "%s", reason);
    table_count(&metrics->tables[TABLE_AUTH_FAILURES], word);
}

int64_t metrics_total(const struct metrics_shared *shared, enum metric metric)
{
    int64_t total = 0;
    for (unsigned i = 0; i < shared->columns; i++)
        if (!is_gauge(metric) || column_pid(&shared->column[i]) != 0)
            total += metric_get(&shared->column[i].values[metric]);
    return total;
}

/* --- what the kernel knows about our processes --- */

/*
 * The number of open descriptors of a process; -1 when the kernel does not tell.  Since Linux 6.2
 * the size of the directory says it; before, its entries must be counted.
 */
static int64_t descriptors_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    struct stat status;
    if (stat(path, &status) == 0 && status.st_size > 0)
        return status.st_size;
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    int64_t count = 0;
    for (const struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            count++;
    closedir(directory);
    return pid == getpid() ? count - 1 : count; /* less the one of this very walk */
}

void metrics_sample_descriptors(struct metrics *metrics)
{
    int64_t count = descriptors_of(getpid());
    if (count >= 0)
        metric_put(&metrics->descriptors, count);
}

/* A /proc file's text, NUL-terminated; false when the process is gone or hidden. */
static bool read_proc(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t len = fread(out, 1, size - 1, file);
    fclose(file);
    out[len] = '\0';
    return len > 0;
}

static int64_t resident_bytes_of(pid_t pid)
{
    char text[256]; /* "<pages in all> <resident pages> …" */
    if (!read_proc(pid, "statm", text, sizeof text))
        return 0;
    const char *resident = strchr(text, ' ');
    return resident ? strtoll(resident, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

/* Clock ticks after boot; 0 when unknown.  Field 22 of stat, counted from the ")" that ends the
 * process's name, because the name may hold anything. */
static int64_t start_ticks_of(pid_t pid)
{
    char text[1024];
    if (!read_proc(pid, "stat", text, sizeof text))
        return 0;
    const char *field = strrchr(text, ')');
    for (int number = 2; field && number < 22; number++)
        field = strchr(field + 1, ' ');
    return field ? strtoll(field, NULL, 10) : 0;
}

/* When the machine booted, in unix seconds; 0 when unknown. */
static int64_t boot_time(void)
{
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return 0;
    static const char name[] = "btime ";
    char line[256];
    int64_t seconds = 0;
    while (seconds == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, name, sizeof name - 1) == 0)
            seconds = strtoll(line + sizeof name - 1, NULL, 10);
    fclose(file);
    return seconds;
}

struct process_totals {
    int64_t start_ticks; /* of the oldest process */
    int64_t resident_bytes;
    int64_t descriptors;
};

static struct process_totals process_totals(const struct metrics_shared *shared)
{
    struct process_totals totals = {0, 0, 0};
    for (unsigned i = 0; i < shared->columns; i++) {
        pid_t pid = column_pid(&shared->column[i]);
        if (pid == 0)
            continue;
        int64_t ticks = start_ticks_of(pid);
        if (ticks > 0 && (totals.start_ticks == 0 || ticks < totals.start_ticks))
            totals.start_ticks = ticks;
        totals.resident_bytes += resident_bytes_of(pid);
        int64_t count = descriptors_of(pid);
        totals.descriptors += count >= 0 ? count : metric_get(&shared->column[i].descriptors);
    }
    return totals;
}

/* --- exposition --- */

void metrics_write_head(struct wh_buf *out, const char *name, const char *type, const char *help)
{
    wh_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_family_head(struct wh_buf *out, enum family family)
{
    char name[80];
    snprintf(name, sizeof name, "wirehub_%s", families[family].name);
    metrics_write_head(out, name, families[family].type == GAUGE ? "gauge" : "counter",
                       families[family].help);
}

static void write_value(struct wh_buf *out, enum family_type type, int64_t value)
{
    if (type == COUNTER_US)
        wh_buf_printf(out, " %lld.%06lld\n", (long long)(value / 1000000),
                      (long long)(value % 1000000));
    else
        wh_buf_printf(out, " %lld\n", (long long)value);
}

static void write_rows(const struct metrics_shared *shared, enum family family, struct wh_buf *out)
{
    for (enum metric metric = 0; metric < METRIC_COUNT; metric++) {
        if (rows[metric].family != family)
            continue;
        wh_buf_printf(out, "wirehub_%s", families[family].name);
        if (rows[metric].labels[0] != '\0')
            wh_buf_printf(out, "{%s}", rows[metric].labels);
        write_value(out, families[family].type, metrics_total(shared, metric));
    }
}

/* In a label value, backslash, double quote and line feed are escaped. */
static void write_label_value(struct wh_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            wh_buf_append_str(out, "\\n");
            continue;
        }
        if (*text == '\\' || *text == '"')
            wh_buf_append_char(out, '\\');
        wh_buf_append_char(out, *text);
    }
}

static void write_labelled(struct wh_buf *out, unsigned which, const char *word, int64_t count)
{
    enum family family = tables[which].family;
    wh_buf_printf(out, "wirehub_%s{%s=\"", families[family].name, tables[which].label);
    write_label_value(out, word);
    wh_buf_append_str(out, "\"}");
    write_value(out, families[family].type, count);
}

/*
 * The smallest word after `last` (NULL: the first) in any column and its sum over all columns;
 * NULL at the end.  Called in turn it merges and sorts the tables without memory of its own.
 */
static const char *next_word(const struct metrics_shared *shared,
                             unsigned which,
                             const char *last,
                             int64_t *out_sum)
{
    const char *next = NULL;
    for (unsigned i = 0; i < shared->columns; i++) {
        const struct label_table *table = &shared->column[i].tables[which];
        unsigned used = atomic_load_explicit(&table->used, memory_order_acquire);
        for (unsigned j = 0; j < used; j++) {
            const char *word = table->words[j];
            if ((last && strcmp(word, last) <= 0) || (next && strcmp(word, next) > 0))
                continue;
            if (!next || strcmp(word, next) < 0)
                *out_sum = 0;
            next = word;
            *out_sum += metric_get(&table->counts[j]);
        }
    }
    return next;
}

static void write_table(const struct metrics_shared *shared, unsigned which, struct wh_buf *out)
{
    int64_t sum = 0;
    const char *word = NULL;
    while ((word = next_word(shared, which, word, &sum)))
        write_labelled(out, which, word, sum);
    int64_t other = 0;
    for (unsigned i = 0; i < shared->columns; i++)
        other += metric_get(&shared->column[i].tables[which].other);
    if (other > 0)
        write_labelled(out, which, OTHER, other);
}

/* These names are fixed by convention and have no prefix. */
static void write_process(const struct metrics_shared *shared, struct wh_buf *out)
{
    struct process_totals totals = process_totals(shared);
    int64_t started = boot_time() + totals.start_ticks / sysconf(_SC_CLK_TCK);
    metrics_write_head(out, "process_start_time_seconds", "gauge",
                       "When the oldest process of the hub started, in unix time.");
    wh_buf_printf(out, "process_start_time_seconds %lld\n", (long long)started);
    metrics_write_head(out, "process_resident_memory_bytes", "gauge",
                       "Resident memory of all processes of the hub.");
    wh_buf_printf(out, "process_resident_memory_bytes %lld\n", (long long)totals.resident_bytes);
    metrics_write_head(out, "process_open_fds", "gauge",
                       "Open descriptors of all processes of the hub.");
    wh_buf_printf(out, "process_open_fds %lld\n", (long long)totals.descriptors);
}

void metrics_write(const struct metrics_shared *shared, struct wh_buf *out)
{
    for (enum family family = 0; family < FAMILY_COUNT; family++) {
        write_family_head(out, family);
        write_rows(shared, family, out);
        for (unsigned which = 0; which < TABLE_COUNT; which++)
            if (tables[which].family == family)
                write_table(shared, which, out);
    }
    metrics_rpc_write(shared, out);
    metrics_write_head(out, "wirehub_build_info", "gauge", "What runs here; always 1.");
    wh_buf_append_str(out, "wirehub_build_info{version=\"");
    write_label_value(out, WH_VERSION);
    wh_buf_append_str(out, "\",commit=\"");
    write_label_value(out, WH_COMMIT);
    wh_buf_append_str(out, "\"} 1\n");
    write_process(shared, out);
}
