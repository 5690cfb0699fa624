#include "services/loadgen/tally.h"

#include "common/base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const names[TALLY_OUTCOME_COUNT] = {
    "ordered",           "cancelled",  "out of stock",
    "refused otherwise", "unanswered", "left out, too many under way"};

int tally_init(struct tally *tally)
{
    *tally = (struct tally){.latencies_us =
                                wh_calloc(TALLY_LATENCIES_MAX, sizeof(*tally->latencies_us))};
    return tally->latencies_us != NULL;
}

void tally_deinit(struct tally *tally)
{
    wh_free(tally->latencies_us);
}

void tally_count(struct tally *tally, enum tally_outcome outcome)
{
    tally->counts[outcome]++;
}

void tally_latency(struct tally *tally, uint64_t took_us)
{
    if (tally->latency_count < TALLY_LATENCIES_MAX)
        tally->latencies_us[tally->latency_count++] =
            took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* Of sorted latencies: the smallest that `percent` of them do not exceed, in milliseconds. */
static double percentile_ms(const uint32_t *sorted, size_t count, double percent)
{
    if (count == 0)
        return 0;
    size_t rank = (size_t)((double)count * percent / 100 + 0.999999);
    return sorted[(rank > 0 ? rank : 1) - 1] / 1000.0;
}

static void show_latencies(uint32_t *latencies_us, size_t count)
{
    qsort(latencies_us, count, sizeof(*latencies_us), compare);
    printf("p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms\n",
           percentile_ms(latencies_us, count, 50), percentile_ms(latencies_us, count, 90),
           percentile_ms(latencies_us, count, 99), percentile_ms(latencies_us, count, 100));
}

void tally_show_second(struct tally *tally, uint64_t second, size_t under_way)
{
    uint64_t lost = tally->counts[TALLY_UNANSWERED] + tally->counts[TALLY_LEFT_OUT];
    printf("%4" PRIu64 " s  %zu answers, %zu under way; %" PRIu64 " orders, %" PRIu64
           " unanswered or left out; ",
           second, tally->latency_count - tally->shown, under_way, tally->counts[TALLY_ORDERED],
           lost);
    show_latencies(tally->latencies_us + tally->shown, tally->latency_count - tally->shown);
    tally->shown = tally->latency_count;
    (void)fflush(stdout);
}

void tally_show_summary(struct tally *tally, double seconds)
{
    printf("in %.1f s:", seconds);
    for (size_t i = 0; i < TALLY_OUTCOME_COUNT; i++)
        printf("%s %" PRIu64 " %s", i > 0 ? "," : "", tally->counts[i], names[i]);
    printf("; %" PRIu64 " calls were made more than once\n", tally->repeated);
    printf("%zu answers: ", tally->latency_count);
    show_latencies(tally->latencies_us, tally->latency_count);
    if (tally->latency_count == TALLY_LATENCIES_MAX)
        printf("(of the first %d answers)\n", (int)TALLY_LATENCIES_MAX);
    (void)fflush(stdout);
}
