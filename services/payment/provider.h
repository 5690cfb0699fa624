/*
 * Whoever moves the money: a payment provider behind an adapter.  Here there is
 * a simulated one; a real one would speak HTTPS behind the same five calls.
 *
 * Every call blocks, and is made outside any transaction.  Operations carry a
 * key: the same operation under the same key happens once, however often it is
 * called, and answers the same.  When nothing is known about an operation
 * (time-out, broken connection), `lookup` asks what became of it.
 *
 * One thread at a time for each `struct provider`.
 */
#ifndef SERVICES_PAYMENT_PROVIDER_H
#define SERVICES_PAYMENT_PROVIDER_H

#include "services/payment/payment.h"

enum provider_result {
    PROVIDER_DONE,
    PROVIDER_REFUSED,   /* declined, or not possible in the state that it is in: final */
    PROVIDER_UNKNOWN,   /* may have happened: look it up before trying again */
    PROVIDER_AWAY,      /* did not happen: try again later */
    PROVIDER_NO_RECORD, /* of lookup alone: it never heard of it */
    PROVIDER_RESULT_COUNT
};

enum { PROVIDER_REFERENCE_MAX = 64, PROVIDER_REASON_MAX = 64 };

struct provider_request {
    enum payment_wish operation; /* not PAYMENT_NOTHING */
    struct wh_slice payment;     /* id, the key together with the operation */
    int64_t amount_minor;
    struct wh_slice currency;
    struct wh_slice card; /* authorize */
    uint32_t timeout_ms;
};

struct provider_response {
    enum provider_result result;
    char reference[PROVIDER_REFERENCE_MAX]; /* the provider's own name of it; "" = none */
    char reason[PROVIDER_REASON_MAX];       /* of a refusal, "insufficient_funds"; "" = none */
};

struct provider {
    void (*call)(struct provider *provider,
                 const struct provider_request *request,
                 struct provider_response *out_response);
    /* What became of `request`: DONE or REFUSED as it was, NO_RECORD, or UNKNOWN and AWAY. */
    void (*lookup)(struct provider *provider,
                   const struct provider_request *request,
                   struct provider_response *out_response);
    void (*close)(struct provider *provider);
};

/*
 * A provider that stands in for the world outside: its books are in the schema simulated_provider
 * of the database at `url`, on a connection of its own that commits by itself, so that what it did
 * stays done whatever becomes of us.  What happens depends on the card:
 *
 *     4242 4242 4242 4242   pays
 *     4000 0000 0000 0002   declined: card_declined
 *     4000 0000 0000 9995   declined: insufficient_funds
 *     4000 0000 0000 0259   pays, but takes 2 seconds
 *     4000 0000 0000 0341   pays, and the answer is lost (the first time)
 *     4000 0000 0000 0408   no answer and nothing happened (the first time)
 *
 * and on `latency_ms`, which every call takes (±50 %).  Connects when first used.
 * WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err provider_simulated_new(const char *url,
                                                 uint32_t latency_ms,
                                                 struct provider **out_provider);

#endif
