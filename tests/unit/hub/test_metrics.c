/*
 * The exposition is read back by a small parser of text format 0.0.4, so that a test speaks of
 * samples and not of bytes.
 */
#include "hub/metrics.h"
#include "hub/metrics_rpc.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { FAMILIES_MAX = 128, SAMPLES_MAX = 1024 };

struct family {
    char name[64];
    char type[16];
};

struct sample {
    char key[160]; /* name{labels} as written */
    double value;
};

struct exposition {
    struct family families[FAMILIES_MAX];
    size_t family_count;
    struct sample samples[SAMPLES_MAX];
    size_t sample_count;
};

static size_t name_len(const char *text)
{
    size_t len = 0;
    while (isalpha((unsigned char)text[len]) || text[len] == '_' || text[len] == ':' ||
           (len > 0 && isdigit((unsigned char)text[len])))
        len++;
    return len;
}

/* `text` is at "{": the length of the whole label set; fails the test when it is malformed. */
static size_t labels_len(const char *text)
{
    const char *at = text + 1;
    while (*at != '}') {
        size_t len = name_len(at);
        assert_true(len > 0);
        at += len;
        assert_memory_equal(at, "=\"", 2);
        for (at += 2; *at != '"'; at++) {
            assert_true(*at != '\0' && *at != '\n');
            if (*at == '\\') {
                at++;
                assert_true(*at == '\\' || *at == '"' || *at == 'n');
            }
        }
        at++;
        if (*at == ',')
            at++;
        else
            assert_int_equal(*at, '}');
    }
    return (size_t)(at + 1 - text);
}

static void parse_help(struct exposition *out, const char *line)
{
    assert_true(out->family_count < FAMILIES_MAX);
    struct family *family = &out->families[out->family_count++];
    size_t len = name_len(line);
    assert_true(len > 0 && len < sizeof family->name && line[len] == ' ');
    assert_true(strlen(line + len + 1) > 5);
    memcpy(family->name, line, len);
    for (size_t i = 0; i + 1 < out->family_count; i++)
        assert_string_not_equal(out->families[i].name, family->name);
}

static void parse_type(struct exposition *out, const char *line)
{
    struct family *family = &out->families[out->family_count - 1];
    size_t len = name_len(line);
    assert_int_equal(strlen(family->name), len);
    assert_memory_equal(line, family->name, len);
    assert_int_equal(line[len], ' ');
    assert_string_equal(family->type, "");
    snprintf(family->type, sizeof family->type, "%s", line + len + 1);
    assert_true(strcmp(family->type, "counter") == 0 || strcmp(family->type, "gauge") == 0 ||
                strcmp(family->type, "histogram") == 0);
}

/* The length of a sample's name without what a histogram appends. */
static size_t family_len(const struct family *family, const char *line)
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    size_t len = name_len(line);
    for (size_t i = 0; i < 3 && strcmp(family->type, "histogram") == 0; i++) {
        size_t suffix = strlen(suffixes[i]);
        if (len > suffix && strncmp(line + len - suffix, suffixes[i], suffix) == 0)
            return len - suffix;
    }
    return len;
}

static void parse_sample(struct exposition *out, const char *line)
{
    assert_true(out->sample_count < SAMPLES_MAX);
    struct sample *sample = &out->samples[out->sample_count++];
    const struct family *family = &out->families[out->family_count - 1];
    size_t len = name_len(line);
    /* Right below its own head: this is what "families are contiguous" means. */
    assert_int_equal(strlen(family->name), family_len(family, line));
    assert_memory_equal(line, family->name, strlen(family->name));
    assert_string_not_equal(family->type, "");
    if (line[len] == '{')
        len += labels_len(line + len);
    assert_int_equal(line[len], ' ');
    assert_true(len < sizeof sample->key);
    memcpy(sample->key, line, len);
    char *end = NULL;
    sample->value = strtod(line + len + 1, &end);
    assert_true(end > line + len + 1 && *end == '\0');
    for (size_t i = 0; i + 1 < out->sample_count; i++)
        assert_string_not_equal(out->samples[i].key, sample->key);
}

static struct exposition *parse(const struct metrics_shared *shared)
{
    struct exposition *out = calloc(1, sizeof *out);
    assert_non_null(out);
    struct wh_buf text = {0};
    metrics_write(shared, &text);
    assert_int_equal(wh_buf_error(&text), WH_OK);
    assert_int_equal(text.ptr[text.len - 1], '\n');
    char *rest = NULL;
    wh_buf_cstr(&text);
    for (char *line = strtok_r(text.ptr, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP ", 7) == 0)
            parse_help(out, line + 7);
        else if (strncmp(line, "# TYPE ", 7) == 0)
            parse_type(out, line + 7);
        else
            parse_sample(out, line);
    }
    wh_buf_deinit(&text);
    return out;
}

/* -1 when there is no such sample. */
static double sample_of(const struct metrics_shared *shared, const char *key)
{
    struct exposition *all = parse(shared);
    double value = -1;
    for (size_t i = 0; i < all->sample_count; i++)
        if (strcmp(all->samples[i].key, key) == 0)
            value = all->samples[i].value;
    free(all);
    return value;
}

static struct metrics_shared *new_shared(unsigned workers)
{
    struct metrics_shared *shared = NULL;
    assert_int_equal(metrics_shared_new(workers, &shared), WH_OK);
    return shared;
}

static void worker_counts_out_of_range_are_refused(void **state)
{
    (void)state;
    struct metrics_shared *shared = NULL;
    assert_int_equal(metrics_shared_new(0, &shared), WH_EINVAL);
    assert_int_equal(metrics_shared_new(100000, &shared), WH_EINVAL);
    assert_null(shared);
    metrics_shared_free(NULL);
}

static void columns_of_workers_are_summed(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(2);
    struct metrics *first = metrics_open(shared, 0);
    struct metrics *second = metrics_open(shared, 1);
    metrics_add(first, METRIC_CONNECTIONS_JSON, 5);
    metrics_add(second, METRIC_CONNECTIONS_JSON, 3);
    metrics_add(second, METRIC_CONNECTIONS_JSON, -1);
    metrics_set(second, METRIC_QUEUE_BYTES, 4096);
    metrics_add(metrics_open_supervisor(shared), METRIC_WORKER_RESTARTS, 1);
    assert_int_equal(metrics_total(shared, METRIC_CONNECTIONS_JSON), 7);
    assert_int_equal((int)sample_of(shared, "wirehub_connections{transport=\"websocket\","
                                            "encoding=\"json\"}"),
                     7);
    assert_int_equal((int)sample_of(shared, "wirehub_queue_bytes"), 4096);
    assert_int_equal((int)sample_of(shared, "wirehub_worker_restarts_total"), 1);
    metrics_shared_free(shared);
}

static void what_another_process_counts_is_seen_here(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(1);
    pid_t pid = fork();
    if (pid == 0) {
        struct metrics *metrics = metrics_open(shared, 0);
        for (int i = 0; i < 1000; i++)
            metrics_add(metrics, METRIC_MESSAGES_RECEIVED, 1);
        metrics_count_code(metrics, METRIC_DISCONNECTS, 3008);
        _exit(0);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(metrics_total(shared, METRIC_MESSAGES_RECEIVED), 1000);
    assert_int_equal((int)sample_of(shared, "wirehub_disconnects_total{code=\"3008\"}"), 1);
    metrics_shared_free(shared);
}

static void gauges_of_a_dead_worker_count_as_0_and_its_counters_stay(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(2);
    struct metrics *dying = metrics_open(shared, 0);
    metrics_add(metrics_open(shared, 1), METRIC_USERS, 1);
    metrics_add(dying, METRIC_USERS, 10);
    metrics_add(dying, METRIC_LOOP_TURNS, 10);
    metrics_close(shared, 0);
    assert_int_equal(metrics_total(shared, METRIC_USERS), 1);
    assert_int_equal(metrics_total(shared, METRIC_LOOP_TURNS), 10);

    struct metrics *replacement = metrics_open(shared, 0);
    metrics_add(replacement, METRIC_USERS, 2);
    metrics_add(replacement, METRIC_LOOP_TURNS, 1);
    assert_int_equal(metrics_total(shared, METRIC_USERS), 3);
    assert_int_equal(metrics_total(shared, METRIC_LOOP_TURNS), 11);
    metrics_shared_free(shared);
}

static void codes_of_workers_are_merged_and_sorted(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(2);
    struct metrics *first = metrics_open(shared, 0);
    struct metrics *second = metrics_open(shared, 1);
    metrics_count_code(first, METRIC_REPLY_ERRORS, 108);
    metrics_count_code(first, METRIC_REPLY_ERRORS, 103);
    metrics_count_code(second, METRIC_REPLY_ERRORS, 103);
    metrics_count_code(second, METRIC_REPLY_ERRORS, 101);
    metrics_count_code(second, METRIC_UNSUBSCRIBES, 2500);
    struct exposition *all = parse(shared);
    char seen[256] = "";
    for (size_t i = 0; i < all->sample_count; i++)
        if (strncmp(all->samples[i].key, "wirehub_reply_errors_total", 26) == 0)
            snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s=%g ",
                     all->samples[i].key + 26, all->samples[i].value);
    free(all);
    assert_string_equal(seen, "{code=\"101\"}=1 {code=\"103\"}=2 {code=\"108\"}=1 ");
    assert_int_equal((int)sample_of(shared, "wirehub_unsubscribes_total{code=\"2500\"}"), 1);
    metrics_shared_free(shared);
}

static void labels_past_the_table_count_as_other(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(1);
    struct metrics *metrics = metrics_open(shared, 0);
    for (uint32_t code = 0; code < METRIC_LABELS_MAX + 10; code++)
        metrics_count_code(metrics, METRIC_DISCONNECTS, code);
    metrics_count_code(metrics, METRIC_DISCONNECTS, 0);
    assert_int_equal((int)sample_of(shared, "wirehub_disconnects_total{code=\"other\"}"), 10);
    assert_int_equal((int)sample_of(shared, "wirehub_disconnects_total{code=\"0\"}"), 2);
    assert_int_equal((int)sample_of(shared, "wirehub_disconnects_total{code=\"64\"}"), -1);

    metrics_count_auth_failure(metrics, "other");
    assert_int_equal((int)sample_of(shared, "wirehub_auth_failures_total{reason=\"other\"}"), 1);
    metrics_shared_free(shared);
}

static void auth_failures_are_counted_by_reason_and_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *reason;
        const char *key;
    } cases[] = {
        {"signature", "wirehub_auth_failures_total{reason=\"signature\"}"},
        {"a\"b", "wirehub_auth_failures_total{reason=\"a\\\"b\"}"},
        {"a\\b", "wirehub_auth_failures_total{reason=\"a\\\\b\"}"},
        {"a\nb", "wirehub_auth_failures_total{reason=\"a\\nb\"}"},
        {"a reason that is longer than a word",
         "wirehub_auth_failures_total{reason=\"a reason that is longer than a \"}"},
    };
    struct metrics_shared *shared = new_shared(1);
    struct metrics *metrics = metrics_open(shared, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        metrics_count_auth_failure(metrics, cases[i].reason);
        metrics_count_auth_failure(metrics, cases[i].reason);
        assert_int_equal((int)sample_of(shared, cases[i].key), 2);
    }
    metrics_shared_free(shared);
}

static bool ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text);
    return len >= strlen(tail) && strcmp(text + len - strlen(tail), tail) == 0;
}

/* https://prometheus.io/docs/practices/naming/: one prefix, base units, _total for counters. */
static void names_follow_the_conventions_of_prometheus(void **state)
{
    (void)state;
    static const char *const not_base_units[] = {"milli", "micro", "msec",
                                                 "usec",  "kilo",  "minutes"};
    struct metrics_shared *shared = new_shared(1);
    struct exposition *all = parse(shared);
    assert_true(all->family_count > 25);
    for (size_t i = 0; i < all->family_count; i++) {
        const struct family *family = &all->families[i];
        assert_true(strncmp(family->name, "wirehub_", 8) == 0 ||
                    strncmp(family->name, "process_", 8) == 0);
        assert_int_equal(strcmp(family->type, "counter") == 0, ends_with(family->name, "_total"));
        for (size_t j = 0; j < sizeof not_base_units / sizeof not_base_units[0]; j++)
            assert_null(strstr(family->name, not_base_units[j]));
        for (const char *c = family->name; *c != '\0'; c++)
            assert_true(islower((unsigned char)*c) || *c == '_');
    }
    free(all);
    metrics_shared_free(shared);
}

static void time_counted_in_microseconds_is_shown_in_seconds(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(1);
    metrics_add(metrics_open(shared, 0), METRIC_LOOP_BUSY_US, 12000345);
    assert_true(sample_of(shared, "wirehub_loop_busy_seconds_total") == 12.000345);
    metrics_shared_free(shared);
}

static void process_metrics_speak_of_living_processes(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(1);
    assert_int_equal((int)sample_of(shared, "process_resident_memory_bytes"), 0);
    struct metrics *metrics = metrics_open(shared, 0);
    metrics_sample_descriptors(metrics);

    int before = (int)sample_of(shared, "process_open_fds");
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal((int)sample_of(shared, "process_open_fds"), before + 2);
    close(fds[0]);
    close(fds[1]);

    assert_true(sample_of(shared, "process_resident_memory_bytes") > 100000);
    double age = (double)time(NULL) - sample_of(shared, "process_start_time_seconds");
    assert_true(age > -5 && age < 3600);
    metrics_shared_free(shared);
}

static void build_info_is_there_once(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(1);
    struct exposition *all = parse(shared);
    int found = 0;
    for (size_t i = 0; i < all->sample_count; i++)
        found += strncmp(all->samples[i].key, "wirehub_build_info{version=\"", 28) == 0 &&
                 strstr(all->samples[i].key, "\",commit=\"") && (int)all->samples[i].value == 1;
    free(all);
    assert_int_equal(found, 1);
    metrics_shared_free(shared);
}

static void calls_are_counted_by_service_and_outcome_over_workers(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(2);
    struct metrics *first = metrics_open(shared, 0);
    struct metrics *second = metrics_open(shared, 1);
    metrics_rpc_slot(second, WH_SLICE_LITERAL("orders")); /* slots need not agree */
    unsigned one = metrics_rpc_slot(first, WH_SLICE_LITERAL("shop"));
    unsigned two = metrics_rpc_slot(second, WH_SLICE_LITERAL("shop"));
    assert_int_equal(metrics_rpc_slot(first, WH_SLICE_LITERAL("shop")), one);
    metrics_rpc_ended(first, one, METRICS_RPC_OK, 500);
    metrics_rpc_ended(second, two, METRICS_RPC_OK, 501);
    metrics_rpc_ended(second, two, METRICS_RPC_OK, 20000000);
    metrics_rpc_ended(second, two, METRICS_RPC_DEADLINE, 4800000);
#define OK_LABELS "{service=\"shop\",outcome=\"ok\""
    assert_true(sample_of(shared, "wirehub_rpc_seconds_bucket" OK_LABELS ",le=\"0.0005\"}") == 1);
    assert_true(sample_of(shared, "wirehub_rpc_seconds_bucket" OK_LABELS ",le=\"0.001\"}") == 2);
    assert_true(sample_of(shared, "wirehub_rpc_seconds_bucket" OK_LABELS ",le=\"10\"}") == 2);
    assert_true(sample_of(shared, "wirehub_rpc_seconds_bucket" OK_LABELS ",le=\"+Inf\"}") == 3);
    assert_true(sample_of(shared, "wirehub_rpc_seconds_count" OK_LABELS "}") == 3);
    assert_true(sample_of(shared, "wirehub_rpc_seconds_sum" OK_LABELS "}") == 20.001001);
#undef OK_LABELS
    assert_true(sample_of(shared, "wirehub_rpc_seconds_count{service=\"shop\","
                                  "outcome=\"deadline\"}") == 1);
    assert_true(sample_of(shared, "wirehub_rpc_seconds_count{service=\"shop\","
                                  "outcome=\"failed\"}") == -1);
    metrics_shared_free(shared);
}

static void gauges_of_calls_are_summed_or_the_highest(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(2);
    for (unsigned i = 0; i < 2; i++) {
        struct metrics *metrics = metrics_open(shared, i);
        unsigned slot = metrics_rpc_slot(metrics, WH_SLICE_LITERAL("shop"));
        metrics_rpc_set(metrics, slot, METRICS_RPC_INFLIGHT, 3 + i);
        metrics_rpc_set(metrics, slot, METRICS_RPC_QUEUE_LENGTH, 10 + i);
        metrics_rpc_set(metrics, slot, METRICS_RPC_BREAKER, i ? 0 : 2);
    }
    assert_true(sample_of(shared, "wirehub_rpc_inflight{service=\"shop\"}") == 7);
    assert_true(sample_of(shared, "wirehub_rpc_queue_length{service=\"shop\"}") == 11);
    assert_true(sample_of(shared, "wirehub_rpc_breaker_state{service=\"shop\"}") == 2);
    metrics_close(shared, 1);
    assert_true(sample_of(shared, "wirehub_rpc_inflight{service=\"shop\"}") == 3);
    metrics_open(shared, 0); /* it was replaced */
    assert_true(sample_of(shared, "wirehub_rpc_breaker_state{service=\"shop\"}") == 0);
    metrics_shared_free(shared);
}

static void services_past_the_table_count_as_other(void **state)
{
    (void)state;
    struct metrics_shared *shared = new_shared(1);
    struct metrics *metrics = metrics_open(shared, 0);
    for (unsigned i = 0; i < METRICS_RPC_SERVICES + 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%02u", i);
        unsigned slot = metrics_rpc_slot(metrics, wh_slice_from_str(name));
        metrics_rpc_ended(metrics, slot, METRICS_RPC_OK, 1000);
        metrics_rpc_set(metrics, slot, METRICS_RPC_INFLIGHT, 1);
    }
    assert_true(sample_of(shared, "wirehub_rpc_seconds_count{service=\"s31\",outcome=\"ok\"}") ==
                1);
    assert_true(sample_of(shared, "wirehub_rpc_seconds_count{service=\"s32\",outcome=\"ok\"}") ==
                -1);
    assert_true(sample_of(shared, "wirehub_rpc_seconds_count{service=\"other\",outcome=\"ok\"}") ==
                3);
    assert_true(sample_of(shared, "wirehub_rpc_inflight{service=\"other\"}") == -1);
    metrics_shared_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worker_counts_out_of_range_are_refused),
        cmocka_unit_test(columns_of_workers_are_summed),
        cmocka_unit_test(what_another_process_counts_is_seen_here),
        cmocka_unit_test(gauges_of_a_dead_worker_count_as_0_and_its_counters_stay),
        cmocka_unit_test(codes_of_workers_are_merged_and_sorted),
        cmocka_unit_test(labels_past_the_table_count_as_other),
        cmocka_unit_test(auth_failures_are_counted_by_reason_and_escaped),
        cmocka_unit_test(names_follow_the_conventions_of_prometheus),
        cmocka_unit_test(time_counted_in_microseconds_is_shown_in_seconds),
        cmocka_unit_test(process_metrics_speak_of_living_processes),
        cmocka_unit_test(build_info_is_there_once),
        cmocka_unit_test(calls_are_counted_by_service_and_outcome_over_workers),
        cmocka_unit_test(gauges_of_calls_are_summed_or_the_highest),
        cmocka_unit_test(services_past_the_table_count_as_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
