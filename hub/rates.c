/*
 * A table is a map and a list of the same entries, the list in the order of
 * their last use.  Each look-up gives back what two entries at its old end
 * hold whose buckets are full again, for such an entry says nothing that a new
 * one would not; past RATES_ENTRIES_MAX the oldest goes in any case.  Who has
 * that many addresses gets around a limit per address anyhow.
 */
#include "hub/rates.h"

#include "common/base/alloc.h"
#include "common/base/list.h"
#include "common/base/map.h"

#include <arpa/inet.h>

enum { PREFIX6_BYTES = 8, TIDY_STEPS = 2, BUCKETS_MAX = 2 * RATE_SCOPES };

struct entry {
    struct rate_buckets buckets; /* first, so that the rest is on one cache line */
    struct wh_list link;         /* table->by_use, the newest last */
    char key[RATES_KEY_SIZE];
};

struct table {
    struct wh_map by_key;
    struct wh_list by_use;
};

struct rates {
    struct metrics *metrics;
    struct table tables[RATE_SCOPES]; /* that of connections stays empty */
};

enum wh_err rates_new(struct metrics *metrics, struct rates **out_rates)
{
    struct rates *rates = wh_calloc(1, sizeof(*rates));
    if (rates == NULL)
        return WH_ENOMEM;
    rates->metrics = metrics;
    for (int i = 0; i < RATE_SCOPES; i++)
        wh_list_init(&rates->tables[i].by_use);
    *out_rates = rates;
    return WH_OK;
}

static void forget(struct table *table, struct entry *entry)
{
    wh_map_remove(&table->by_key, wh_slice(entry->key, sizeof(entry->key)));
    wh_list_remove(&entry->link);
    wh_free(entry);
}

static struct entry *oldest(const struct table *table)
{
    return WH_CONTAINER_OF(table->by_use.next, struct entry, link);
}

void rates_free(struct rates *rates)
{
    if (rates == NULL)
        return;
    for (int i = 0; i < RATE_SCOPES; i++) {
        while (!wh_list_is_empty(&rates->tables[i].by_use))
            forget(&rates->tables[i], oldest(&rates->tables[i]));
        wh_map_deinit(&rates->tables[i].by_key);
    }
    wh_free(rates);
}

size_t rates_count(const struct rates *rates, enum rate_scope scope)
{
    return rates->tables[scope].by_key.count;
}

/* Tables */

static bool is_idle(struct entry *entry, uint64_t now_ms)
{
    for (int i = 0; i < RATE_CLASSES; i++)
        if (!token_bucket_is_full(&entry->buckets.classes[i], now_ms))
            return false;
    return true;
}

static void tidy(struct table *table, uint64_t now_ms)
{
    for (int i = 0; i < TIDY_STEPS && !wh_list_is_empty(&table->by_use); i++) {
        struct entry *entry = oldest(table);
        if (!is_idle(entry, now_ms))
            return;
        forget(table, entry);
    }
}

static struct entry *add(struct table *table, struct wh_slice key)
{
    if (table->by_key.count >= RATES_ENTRIES_MAX)
        forget(table, oldest(table));
    struct entry *entry = wh_calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    memcpy(entry->key, key.ptr, sizeof(entry->key));
    wh_list_init(&entry->link);
    if (wh_map_add(&table->by_key, wh_slice(entry->key, sizeof(entry->key)), entry)) {
        wh_free(entry);
        return NULL;
    }
    return entry;
}

/* NULL when out of memory. */
static struct rate_buckets *find(struct table *table, struct wh_slice name, uint64_t now_ms)
{
    uint64_t hash = wh_hash(name);
    char bytes[RATES_KEY_SIZE];
    memcpy(bytes, &hash, sizeof(bytes));
    struct wh_slice key = wh_slice(bytes, sizeof(bytes));
    struct entry *entry = wh_map_get(&table->by_key, key);
    if (entry == NULL) {
        tidy(table, now_ms);
        entry = add(table, key);
    }
    if (entry == NULL)
        return NULL;
    wh_list_remove(&entry->link);
    wh_list_push_back(&table->by_use, &entry->link);
    return &entry->buckets;
}

/* An IPv4 address also when it is written as an IPv6 one; of IPv6 what one customer is given. */
static struct wh_slice address_of(const char *peer, unsigned char bytes[sizeof(struct in6_addr)])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (inet_pton(AF_INET, peer, bytes) == 1)
        return wh_slice(bytes, sizeof(struct in_addr));
    if (inet_pton(AF_INET6, peer, bytes) != 1)
        return wh_slice_from_str(peer);
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
        return wh_slice(bytes + sizeof(mapped), sizeof(struct in_addr));
    return wh_slice(bytes, PREFIX6_BYTES);
}

/* Buckets */

static struct rate_buckets *buckets_of(struct rates *rates,
                                       const struct rate_caller *caller,
                                       enum rate_scope scope,
                                       uint64_t now_ms)
{
    unsigned char address[sizeof(struct in6_addr)];
    switch (scope) {
    case RATE_PER_CONNECTION:
        if (*caller->connection == NULL)
            *caller->connection = wh_calloc(1, sizeof(**caller->connection));
        return *caller->connection;
    case RATE_PER_USER:
        return find(&rates->tables[scope], caller->user, now_ms);
    case RATE_PER_ADDRESS:
        return find(&rates->tables[scope], address_of(caller->peer, address), now_ms);
    }
    return NULL;
}

static bool concerns(const struct rate_caller *caller, enum rate_scope scope)
{
    switch (scope) {
    case RATE_PER_CONNECTION:
        return caller->connection != NULL;
    case RATE_PER_USER:
        return caller->user.len > 0;
    case RATE_PER_ADDRESS:
        return caller->peer != NULL && caller->peer[0] != '\0';
    }
    return false;
}

/* What is configured now is what counts, also for a bucket in use; a burst of 0 is one second's. */
static void configure(struct token_bucket *bucket, const struct rate_limit *limit, uint64_t now_ms)
{
    uint32_t rate = (uint32_t)limit->rate;
    uint32_t burst = (uint32_t)(limit->burst > 0 ? limit->burst : limit->rate);
    if (bucket->rate == 0) /* new, or without a limit until now */
        token_bucket_init(bucket, rate, burst, now_ms);
    else if (bucket->rate != rate || bucket->burst != burst)
        token_bucket_change(bucket, rate, burst, now_ms);
}

/* The buckets that must each give one; SIZE_MAX when out of memory. */
static size_t collect(struct rates *rates,
                      const struct rate_config *config,
                      const struct rate_caller *caller,
                      enum rate_class class,
                      uint64_t now_ms,
                      struct token_bucket *out[BUCKETS_MAX],
                      enum rate_scope out_scopes[BUCKETS_MAX])
{
    const enum rate_class classes[] = {RATE_TOTAL, class};
    size_t count = 0;
    for (int i = 0; i < RATE_SCOPES; i++) {
        enum rate_scope scope = (enum rate_scope)i;
        const struct rate_limit *limits = config->scopes[scope];
        if ((limits[RATE_TOTAL].rate == 0 && limits[class].rate == 0) || !concerns(caller, scope))
            continue;
        struct rate_buckets *buckets = buckets_of(rates, caller, scope, now_ms);
        if (buckets == NULL)
            return SIZE_MAX;
        for (size_t j = 0; j < 2; j++) {
            if (limits[classes[j]].rate == 0)
                continue;
            out[count] = &buckets->classes[classes[j]];
            configure(out[count], &limits[classes[j]], now_ms);
            out_scopes[count++] = scope;
        }
    }
    return count;
}

bool rates_take(struct rates *rates,
                const struct rate_config *config,
                const struct rate_caller *caller,
                enum rate_class class,
                uint64_t now_ms,
                uint64_t *out_wait_ms)
{
    static const enum metric refusals[RATE_SCOPES] = {
        METRIC_RATE_LIMITED_CONNECTION,
        METRIC_RATE_LIMITED_USER,
        METRIC_RATE_LIMITED_ADDRESS,
    };
    struct token_bucket *buckets[BUCKETS_MAX];
    enum rate_scope scopes[BUCKETS_MAX];
    uint64_t wait_ms = 0;
    size_t count = collect(rates, config, caller, class, now_ms, buckets, scopes);
    if (count == SIZE_MAX) {
        *out_wait_ms = 1000; /* nobody gets around a limit by using up the memory */
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t wait = token_bucket_wait_ms(buckets[i], now_ms);
        if (wait > 0 && wait_ms == 0)
            metrics_add(rates->metrics, refusals[scopes[i]], 1);
        wait_ms = wait > wait_ms ? wait : wait_ms;
    }
    if (wait_ms > 0) {
        *out_wait_ms = wait_ms;
        return false;
    }
    for (size_t i = 0; i < count; i++)
        (void)token_bucket_take(buckets[i], now_ms);
    return true;
}
