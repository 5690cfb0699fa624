/*
 * Who owns what: a lookup belongs to the serving thread (list `lookups`), but its `host` and
 * `result` to its thread until that has put it into the mailbox.  The mailbox is shared and
 * counted, because getaddrinfo cannot be interrupted: a thread may come back when the resolver is
 * gone for long, finds `wake` NULL, and frees what it carries.
 */
#include "client-sdk/src/resolve.h"

#include "common/base/alloc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct mailbox {
    pthread_mutex_t lock;
    unsigned refs;            /* the resolver, each thread */
    void (*wake)(void *user); /* NULL: the resolver is gone */
    void *user;
    struct wh_list finished; /* struct lookup */
};

struct lookup {
    struct wh_list link;     /* resolver.lookups */
    struct wh_list finished; /* mailbox.finished */
    struct wh_list requests;
    struct mailbox *mailbox;
    bool has_thread;
    struct resolve_result result;
    char host[];
};

struct resolver {
    struct mailbox *mailbox;
    struct wh_list lookups;
    unsigned threads;
};

static void mailbox_unref(struct mailbox *mailbox)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    bool is_last = --mailbox->refs == 0;
    (void)pthread_mutex_unlock(&mailbox->lock);
    if (!is_last)
        return;
    (void)pthread_mutex_destroy(&mailbox->lock);
    wh_free(mailbox);
}

enum wh_err resolver_new(void (*wake)(void *user), void *user, struct resolver **out_resolver)
{
    struct resolver *resolver = wh_calloc(1, sizeof *resolver);
    struct mailbox *mailbox = wh_calloc(1, sizeof *mailbox);
    if (!resolver || !mailbox || pthread_mutex_init(&mailbox->lock, NULL) != 0) {
        wh_free(resolver);
        wh_free(mailbox);
        return WH_ENOMEM;
    }
    mailbox->refs = 1;
    mailbox->wake = wake;
    mailbox->user = user;
    wh_list_init(&mailbox->finished);
    wh_list_init(&resolver->lookups);
    resolver->mailbox = mailbox;
    *out_resolver = resolver;
    return WH_OK;
}

static void forget_requests(struct lookup *lookup)
{
    WH_LIST_EACH(node, &lookup->requests)
    resolve_cancel(WH_CONTAINER_OF(node, struct resolve_request, link));
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    struct mailbox *mailbox = resolver->mailbox;
    (void)pthread_mutex_lock(&mailbox->lock);
    mailbox->wake = NULL;
    WH_LIST_EACH(node, &mailbox->finished)
    {
        wh_list_remove(node);
        WH_CONTAINER_OF(node, struct lookup, finished)->has_thread = false;
    }
    WH_LIST_EACH(node, &resolver->lookups)
    {
        struct lookup *lookup = WH_CONTAINER_OF(node, struct lookup, link);
        forget_requests(lookup);
        wh_list_remove(node);
        if (!lookup->has_thread)
            wh_free(lookup);
    }
    (void)pthread_mutex_unlock(&mailbox->lock);
    mailbox_unref(mailbox);
    wh_free(resolver);
}

bool resolve_is_numeric(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static void look_up(struct lookup *lookup)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    struct resolve_result *result = &lookup->result;
    int failure = getaddrinfo(lookup->host, NULL, &hints, &list);
    if (failure != 0) {
        const char *why = gai_strerror(failure);
        if (failure == EAI_SYSTEM)
            why = strerror(errno);
        (void)snprintf(result->error, sizeof result->error, "%s", why);
        return;
    }
    for (struct addrinfo *item = list; item && result->count < RESOLVE_ADDRESSES_MAX;
         item = item->ai_next)
        if (getnameinfo(item->ai_addr, item->ai_addrlen, result->addresses[result->count],
                        RESOLVE_ADDRESS_BYTES, NULL, 0, NI_NUMERICHOST) == 0)
            result->count++;
    freeaddrinfo(list);
    if (result->count == 0)
        (void)snprintf(result->error, sizeof result->error, "the name has no address");
}

static void *thread_main(void *arg)
{
    struct lookup *lookup = arg;
    struct mailbox *mailbox = lookup->mailbox;
    look_up(lookup);
    (void)pthread_mutex_lock(&mailbox->lock);
    bool is_wanted = mailbox->wake != NULL;
    if (is_wanted) {
        wh_list_push_back(&mailbox->finished, &lookup->finished);
        /* Under the lock: resolver_free waits for it, and nobody wakes a service that is gone. */
        mailbox->wake(mailbox->user);
    }
    (void)pthread_mutex_unlock(&mailbox->lock);
    if (!is_wanted)
        wh_free(lookup);
    mailbox_unref(mailbox);
    return NULL;
}

/* Signals are for the program's threads: this one blocks all of them. */
static enum wh_err start_thread(struct resolver *resolver, struct lookup *lookup)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return WH_ENOMEM;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_mutex_lock(&resolver->mailbox->lock);
    resolver->mailbox->refs++;
    (void)pthread_mutex_unlock(&resolver->mailbox->lock);
    lookup->has_thread = true;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&thread, &attributes, thread_main, lookup);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (failure == 0) {
        resolver->threads++;
        return WH_OK;
    }
    lookup->has_thread = false;
    mailbox_unref(resolver->mailbox);
    return WH_EIO;
}

static void answer(struct lookup *lookup)
{
    struct wh_list *node;
    while ((node = wh_list_pop_front(&lookup->requests))) {
        struct resolve_request *request = WH_CONTAINER_OF(node, struct resolve_request, link);
        request->is_waiting = false;
        request->done(request, &lookup->result);
    }
}

/* Those that wait for a thread, as far as there are some now; those that nobody waits for go. */
static void start_waiting(struct resolver *resolver)
{
    WH_LIST_EACH(node, &resolver->lookups)
    {
        struct lookup *lookup = WH_CONTAINER_OF(node, struct lookup, link);
        if (lookup->has_thread)
            continue;
        bool is_wanted = !wh_list_is_empty(&lookup->requests);
        if (is_wanted && resolver->threads >= RESOLVE_THREADS_MAX)
            return;
        if (is_wanted && start_thread(resolver, lookup) == WH_OK)
            continue;
        wh_list_remove(node);
        (void)snprintf(lookup->result.error, sizeof lookup->result.error, "no thread for it");
        answer(lookup);
        wh_free(lookup);
        /* An answer may have started or cancelled others: begin anew. */
        start_waiting(resolver);
        return;
    }
}

void resolver_run(struct resolver *resolver)
{
    for (;;) {
        (void)pthread_mutex_lock(&resolver->mailbox->lock);
        struct wh_list *node = wh_list_pop_front(&resolver->mailbox->finished);
        (void)pthread_mutex_unlock(&resolver->mailbox->lock);
        if (!node)
            return;
        struct lookup *lookup = WH_CONTAINER_OF(node, struct lookup, finished);
        wh_list_remove(&lookup->link);
        resolver->threads--;
        answer(lookup);
        wh_free(lookup);
        start_waiting(resolver);
    }
}

enum wh_err resolve_start(struct resolver *resolver,
                          const char *host,
                          struct resolve_request *request)
{
    WH_LIST_EACH(node, &resolver->lookups)
    {
        struct lookup *running = WH_CONTAINER_OF(node, struct lookup, link);
        if (strcmp(running->host, host) == 0) {
            wh_list_push_back(&running->requests, &request->link);
            request->is_waiting = true;
            return WH_OK;
        }
    }
    size_t host_size = strlen(host) + 1;
    struct lookup *lookup = wh_calloc(1, sizeof *lookup + host_size);
    if (!lookup)
        return WH_ENOMEM;
    memcpy(lookup->host, host, host_size);
    lookup->mailbox = resolver->mailbox;
    wh_list_init(&lookup->finished);
    wh_list_init(&lookup->requests);
    if (resolver->threads < RESOLVE_THREADS_MAX) {
        enum wh_err err = start_thread(resolver, lookup);
        if (err != WH_OK) {
            wh_free(lookup);
            return err;
        }
    }
    wh_list_push_back(&resolver->lookups, &lookup->link);
    wh_list_push_back(&lookup->requests, &request->link);
    request->is_waiting = true;
    return WH_OK;
}

void resolve_cancel(struct resolve_request *request)
{
    if (!request->is_waiting)
        return;
    wh_list_remove(&request->link);
    request->is_waiting = false;
}
