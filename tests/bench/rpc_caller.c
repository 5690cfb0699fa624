/*
 * Calls, over one of the transports, as many at once or as often as it is told, and reports how
 * long they took and what they cost whom.  All that is to be sent in one turn leaves with one write
 * per socket.  Exit status: 0 a good run, 1 a failed one, 2 a wrong command line.
 */
#include "rpc_caller.h"

#include "rpc_envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS = 64, IDLE_MS = 10 };

static bool open_timer(const struct caller *caller, int epoll_fd, int *out_fd)
{
    struct itimerspec period = {.it_interval.tv_nsec = PACE_TICK_NS,
                                .it_value.tv_nsec = PACE_TICK_NS};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    *out_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return *out_fd >= 0 && (caller->options.rate == 0 ||
                            (timerfd_settime(*out_fd, 0, &period, NULL) == 0 &&
                             epoll_ctl(epoll_fd, EPOLL_CTL_ADD, *out_fd, &event) == 0));
}

static bool watch_streams(const struct caller *caller, int epoll_fd)
{
    for (uint32_t i = 0; i < caller->stream_count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                    .data.ptr = &caller->streams[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, caller->streams[i].fd, &event) != 0) {
            perror("epoll_ctl");
            return false;
        }
    }
    return true;
}

static void begin_calls(struct caller *caller)
{
    uint64_t now_ns = pace_now_ns();
    for (uint32_t due = pace_due(&caller->pace, now_ns); due > 0; due--) {
        caller->transport->call(caller, pace_begin(&caller->pace, now_ns));
    }
    if (caller->transport->end_turn != NULL) {
        caller->transport->end_turn(caller);
    }
    for (uint32_t i = 0; i < caller->stream_count; i++) {
        stream_flush(&caller->streams[i]);
    }
}

static bool is_any_broken(const struct caller *caller)
{
    for (uint32_t i = 0; i < caller->stream_count; i++) {
        if (caller->streams[i].is_broken) {
            return true;
        }
    }
    return false;
}

static void on_event(struct caller *caller, const struct epoll_event *event, int timer_fd)
{
    struct stream *stream = event->data.ptr;
    uint64_t ticks;
    if (stream == NULL) {
        while (read(timer_fd, &ticks, sizeof(ticks)) > 0) {
        }
        return;
    }
    stream_fill(stream);
    caller->transport->on_input(caller, stream, pace_now_ns());
}

static void run(struct caller *caller, int epoll_fd, int timer_fd)
{
    struct epoll_event events[EVENTS];
    pace_start(&caller->pace, &caller->options);
    while (caller->pace.phase != PACE_OVER && !is_any_broken(caller)) {
        begin_calls(caller);
        int count = epoll_wait(epoll_fd, events, EVENTS, IDLE_MS);
        for (int i = 0; i < count; i++) {
            on_event(caller, &events[i], timer_fd);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct transport *const transports[] = {
        &raw_transport, &echo_transport, &list_transport, &nats_transport, &websocket_transport};
    static struct caller caller;
    int timer_fd = -1;
    pace_parse(argc, argv, &caller.options);
    for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
        if (strcmp(transports[i]->name, caller.options.transport) == 0) {
            caller.transport = transports[i];
        }
    }
    if (caller.transport == NULL) {
        fprintf(stderr, "no transport %s\n", caller.options.transport);
        return 2;
    }
    payload_fill(caller.payload, caller.options.size);
    caller.stream_count = 1;
    caller.streams = calloc(caller.options.connections + 1, sizeof(*caller.streams));
    snprintf(caller.reply, sizeof(caller.reply), "wh:rpc:reply:bench-%d", (int)getpid());
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (caller.streams == NULL || epoll_fd < 0 || !caller.transport->open(&caller) ||
        !open_timer(&caller, epoll_fd, &timer_fd) || !watch_streams(&caller, epoll_fd)) {
        return 1;
    }
    run(&caller, epoll_fd, timer_fd);
    if (caller.pace.phase != PACE_OVER) {
        return 1; /* a connection broke; it said so */
    }
    return pace_report(&caller.pace);
}
