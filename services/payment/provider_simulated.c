/*
 * The books and their rules are SQL (migrations/0001_payments.sql,
 * simulated_provider.perform); here are the connection, the delays and the
 * mishaps.  A mishap happens at the first try of an operation of its card and
 * is written down before it is acted out, so that it happens once, whichever
 * process tries again.
 */
#include "services/payment/provider.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOW_CARD_MS = 2000, CONNECT_TIMEOUT_S = 2, PARAMS_MAX = 5 };

struct simulated {
    struct provider base;
    char *url;
    uint32_t latency_ms;
    PGconn *connection; /* NULL = not connected */
};

static void sleep_ms(uint32_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

static bool is_connected(struct simulated *provider, uint32_t timeout_ms)
{
    char setting[64];
    if (provider->connection && PQstatus(provider->connection) == CONNECTION_OK)
        return true;
    PQfinish(provider->connection);
    provider->connection = PQconnectdb(provider->url);
    if (PQstatus(provider->connection) != CONNECTION_OK)
        return false;
    (void)snprintf(setting, sizeof(setting), "set statement_timeout = %u", timeout_ms);
    PQclear(PQexec(provider->connection, setting));
    return true;
}

/* NULL when it failed.  `params` are texts. */
static PGresult *query(struct simulated *provider,
                       const char *sql,
                       int count,
                       const char *const params[])
{
    PGresult *rows = PQexecParams(provider->connection, sql, count, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(rows);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return rows;
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_WARN, "provider", "query_failed", "code=%s",
                   PQresultErrorField(rows, PG_DIAG_SQLSTATE)
                       ? PQresultErrorField(rows, PG_DIAG_SQLSTATE)
                       : "connection");
    PQclear(rows);
    return NULL;
}

static void copy_text(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text);
}

/* The one row of result, reason, reference, or none. */
static void read_answer(const PGresult *rows, struct provider_response *out)
{
    if (PQntuples(rows) == 0) {
        out->result = PROVIDER_NO_RECORD;
        return;
    }
    out->result = strcmp(PQgetvalue(rows, 0, 0), "done") == 0 ? PROVIDER_DONE : PROVIDER_REFUSED;
    copy_text(out->reason, sizeof(out->reason), PQgetvalue(rows, 0, 1));
    copy_text(out->reference, sizeof(out->reference), PQgetvalue(rows, 0, 2));
}

struct texts {
    char payment[64];
    char amount[24];
    char currency[8];
    char card[32];
    const char *operation;
};

static void make_texts(const struct provider_request *request, struct texts *out)
{
    out->operation = payment_wish_name(request->operation);
    (void)snprintf(out->payment, sizeof(out->payment), "%.*s", WH_SLICE_ARGS(request->payment));
    (void)snprintf(out->amount, sizeof(out->amount), "%lld", (long long)request->amount_minor);
    (void)snprintf(out->currency, sizeof(out->currency), "%.*s", WH_SLICE_ARGS(request->currency));
    (void)snprintf(out->card, sizeof(out->card), "%.*s", WH_SLICE_ARGS(request->card));
}

/* Whether this is the first try of the operation: then the mishap of the card happens. */
static bool is_first_try(struct simulated *provider, const struct texts *texts)
{
    PGresult *rows = query(provider,
                           "insert into simulated_provider.mishap (payment, operation) "
                           "values ($1, $2) on conflict do nothing",
                           2, (const char *const[]){texts->payment, texts->operation});
    bool is_first = rows && strcmp(PQcmdTuples(rows), "1") == 0;
    PQclear(rows);
    return is_first;
}

static bool is_card(const struct provider_request *request, const char *number)
{
    return request->operation == PAYMENT_AUTHORIZE && wh_slice_equal_str(request->card, number);
}

static void call(struct provider *base,
                 const struct provider_request *request,
                 struct provider_response *out_response)
{
    struct simulated *provider = (struct simulated *)base;
    struct texts texts;
    *out_response = (struct provider_response){.result = PROVIDER_AWAY};
    make_texts(request, &texts);
    if (provider->latency_ms > 0)
        sleep_ms(provider->latency_ms / 2 +
                 (uint32_t)wh_random_below((uint64_t)provider->latency_ms + 1));
    if (!is_connected(provider, request->timeout_ms))
        return;
    out_response->result = PROVIDER_UNKNOWN;
    if (is_card(request, "4000000000000408") && is_first_try(provider, &texts))
        return;
    if (is_card(request, "4000000000000259"))
        sleep_ms(SLOW_CARD_MS);
    PGresult *rows =
        query(provider, "select * from simulated_provider.perform($1, $2, $3, $4, $5)", PARAMS_MAX,
              (const char *const[]){texts.payment, texts.operation, texts.amount, texts.currency,
                                    texts.card});
    if (!rows)
        return;
    if (!is_card(request, "4000000000000341") || !is_first_try(provider, &texts))
        read_answer(rows, out_response);
    PQclear(rows);
}

static void lookup(struct provider *base,
                   const struct provider_request *request,
                   struct provider_response *out_response)
{
    struct simulated *provider = (struct simulated *)base;
    struct texts texts;
    *out_response = (struct provider_response){.result = PROVIDER_AWAY};
    make_texts(request, &texts);
    if (!is_connected(provider, request->timeout_ms))
        return;
    PGresult *rows = query(provider,
                           "select result, reason, reference from simulated_provider.operation "
                           "where payment = $1 and operation = $2",
                           2, (const char *const[]){texts.payment, texts.operation});
    if (rows)
        read_answer(rows, out_response);
    PQclear(rows);
}

static void close_provider(struct provider *base)
{
    struct simulated *provider = (struct simulated *)base;
    PQfinish(provider->connection);
    free(provider->url);
    free(provider);
}

enum wh_err provider_simulated_new(const char *url,
                                   uint32_t latency_ms,
                                   struct provider **out_provider)
{
    struct simulated *provider = calloc(1, sizeof(*provider));
    if (!provider)
        return WH_ENOMEM;
    provider->base = (struct provider){.call = call, .lookup = lookup, .close = close_provider};
    provider->latency_ms = latency_ms;
    provider->url = strdup(url);
    if (!provider->url) {
        free(provider);
        return WH_ENOMEM;
    }
    *out_provider = &provider->base;
    return WH_OK;
}
