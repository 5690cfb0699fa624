#include "services/user/throttle.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

bool throttle_take(const struct throttle_rule *rule, int64_t now_ms, int64_t *full_at_ms)
{
    int64_t interval = (int64_t)rule->interval_ms;
    int64_t next = (*full_at_ms > now_ms ? *full_at_ms : now_ms) + interval;
    if (next - now_ms > interval * (int64_t)rule->burst)
        return false;
    *full_at_ms = next;
    return true;
}

uint64_t throttle_retry_after_s(const struct throttle_rule *rule,
                                int64_t now_ms,
                                int64_t full_at_ms)
{
    int64_t interval = (int64_t)rule->interval_ms;
    int64_t wait_ms = full_at_ms + interval - interval * (int64_t)rule->burst - now_ms;
    return wait_ms > 0 ? ((uint64_t)wait_ms + 999) / 1000 : 1;
}

void throttle_key(const char *kind, struct wh_slice what, unsigned char out[THROTTLE_KEY_BYTES])
{
    unsigned char digests[2 * SHA256_DIGEST_LENGTH];
    /* Two digests one after the other: no `what` can be mistaken for a part of `kind`. */
    SHA256((const unsigned char *)kind, strlen(kind), digests);
    SHA256((const unsigned char *)(what.ptr ? what.ptr : ""), what.len,
           digests + SHA256_DIGEST_LENGTH);
    SHA256(digests, sizeof(digests), out);
}

void throttle_peer(struct wh_slice address, char out[THROTTLE_PEER_MAX])
{
    struct in6_addr ip;
    snprintf(out, THROTTLE_PEER_MAX, "%.*s", WH_SLICE_ARGS(address));
    char *zone = strchr(out, '%'); /* "fe80::1%eth0" */
    if (zone)
        *zone = '\0';
    if (inet_pton(AF_INET6, out, &ip) != 1)
        return;
    if (IN6_IS_ADDR_V4MAPPED(&ip)) {
        inet_ntop(AF_INET, &ip.s6_addr[12], out, THROTTLE_PEER_MAX);
        return;
    }
    memset(&ip.s6_addr[8], 0, 8);
    inet_ntop(AF_INET6, &ip, out, THROTTLE_PEER_MAX);
}
