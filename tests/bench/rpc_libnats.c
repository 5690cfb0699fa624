/*
 * Calls through libnats, Debian's C client of NATS, as its users would: asynchronous requests with
 * an inbox of the caller's.  Its threads call back; one lock.
 *
 *     bench_rpc_libnats serve PORT             the service, a member of the queue group
 *     bench_rpc_libnats --transport libnats --address PORT …     the caller
 *
 * Prints "ready" when serving.  Exit status as bench_rpc_caller.
 */
#include "rpc_envelope.h"
#include "rpc_pace.h"

#include <inttypes.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD_SIZE_MAX = 4096 };

static const char INBOX[] = "_INBOX.lib.";

static struct {
    struct pace_options options;
    struct pace pace;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    char payload[PAYLOAD_SIZE_MAX];
} run = {.lock = PTHREAD_MUTEX_INITIALIZER};

static natsConnection *connect_to(const char *port)
{
    char url[64];
    natsConnection *connection = NULL;
    natsOptions *options = NULL;
    snprintf(url, sizeof(url), "nats://127.0.0.1:%s", port);
    if (natsOptions_Create(&options) != NATS_OK || natsOptions_SetURL(options, url) != NATS_OK ||
        natsConnection_Connect(&connection, options) != NATS_OK) {
        fprintf(stderr, "libnats: no connection to %s\n", url);
        exit(1);
    }
    natsOptions_Destroy(options);
    return connection;
}

static void on_request(natsConnection *connection,
                       natsSubscription *subscription,
                       natsMsg *message,
                       void *user)
{
    (void)subscription;
    (void)user;
    natsConnection_Publish(connection, natsMsg_GetReply(message), natsMsg_GetData(message),
                           natsMsg_GetDataLength(message));
    natsMsg_Destroy(message);
}

static int serve(const char *port)
{
    natsSubscription *subscription = NULL;
    natsConnection *connection = connect_to(port);
    if (natsConnection_QueueSubscribe(&subscription, connection, "bench", "group", on_request,
                                      NULL) != NATS_OK ||
        natsConnection_Flush(connection) != NATS_OK) {
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        pause();
    }
}

static void on_reply(natsConnection *connection,
                     natsSubscription *subscription,
                     natsMsg *message,
                     void *user)
{
    (void)connection;
    (void)subscription;
    (void)user;
    uint64_t id = strtoull(natsMsg_GetSubject(message) + sizeof(INBOX) - 1, NULL, 10);
    pthread_mutex_lock(&run.lock);
    pace_end(&run.pace, id, natsMsg_GetDataLength(message) == (int)run.options.size, pace_now_ns());
    pthread_cond_signal(&run.ended);
    pthread_mutex_unlock(&run.lock);
    natsMsg_Destroy(message);
}

/* Called and returns with the lock held. */
static void begin_calls(natsConnection *connection)
{
    uint64_t now_ns = pace_now_ns();
    for (uint32_t due = pace_due(&run.pace, now_ns); due > 0; due--) {
        char reply[64];
        uint64_t id = pace_begin(&run.pace, now_ns);
        snprintf(reply, sizeof(reply), "%s%" PRIu64, INBOX, id);
        pthread_mutex_unlock(&run.lock);
        natsStatus status = natsConnection_PublishRequest(connection, "bench", reply, run.payload,
                                                          (int)run.options.size);
        pthread_mutex_lock(&run.lock);
        run.pace.failed += status != NATS_OK;
    }
}

static void wait_for_work(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += run.options.rate > 0 ? PACE_TICK_NS : 10000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&run.ended, &run.lock, &until);
}

int main(int argc, char **argv)
{
    char subject[32];
    natsSubscription *subscription = NULL;
    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        return serve(argv[2]);
    }
    pace_parse(argc, argv, &run.options);
    payload_fill(run.payload, run.options.size);
    pthread_cond_init(&run.ended, NULL);
    natsConnection *connection = connect_to(run.options.address);
    snprintf(subject, sizeof(subject), "%s*", INBOX);
    if (natsConnection_Subscribe(&subscription, connection, subject, on_reply, NULL) != NATS_OK ||
        natsConnection_Flush(connection) != NATS_OK) {
        return 1;
    }
    pthread_mutex_lock(&run.lock);
    pace_start(&run.pace, &run.options);
    while (run.pace.phase != PACE_OVER) {
        begin_calls(connection);
        wait_for_work();
    }
    int status = pace_report(&run.pace);
    pthread_mutex_unlock(&run.lock);
    return status;
}
