/*
 * The service's side of the benchmark: PUBLISH over a plain Redis connection, as any program in any
 * language would do it.
 */
#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PAYLOAD_MAX = 1 << 20 };

struct publisher {
    int fd;
    const char *channel; /* the client's name of it; the key is wh:ch:<channel> */
    size_t payload_bytes;
    uint32_t receivers_min; /* Redis subscribers that every PUBLISH has to reach */
    uint32_t published;
    uint32_t replies;
    bool failed;      /* said why on stderr */
    char reply[4096]; /* unfinished replies of Redis */
    size_t reply_length;
};

/* Connects to Redis on loopback; `failed` says whether that went well. */
void publisher_open(struct publisher *publisher, uint16_t port);

/*
 * Publishes message number `published` and counts it: {"seq":N,"t":NANOSECONDS,"pad":"xx…"}, padded
 * to payload_bytes (never cut below what the numbers need).
 */
void publisher_publish(struct publisher *publisher);

/* Reads the replies that are there. */
void publisher_on_readable(struct publisher *publisher);

#endif
