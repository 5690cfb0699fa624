/*
 * The listening sockets of all workers, made by the supervisor before it
 * forks: with SO_REUSEPORT the kernel spreads new connections over them.  The
 * supervisor keeps them open, so connections that wait for a worker that
 * crashed are met by its replacement.
 */
#ifndef HUB_LISTENER_H
#define HUB_LISTENER_H

#include "common/base/buf.h"

/* "localhost" and names may stand for an IPv4 and an IPv6 address. */
enum { LISTENER_FDS_MAX = 2 };

/* One worker's sockets: non-blocking, close-on-exec, listening. */
struct listener {
    int fds[LISTENER_FDS_MAX];
    unsigned count;
};

/*
 * Fill listeners[0 … workers): each gets one socket per address that `address` stands for, all on
 * one port.  `address`: IPv4, IPv6, or a name; NULL, "" or "::" is every address of the machine,
 * "localhost" is 127.0.0.1 and, where there is IPv6, ::1.  Port 0: the kernel picks one.
 * Blocks for a look-up when `address` is a name.
 *
 * WH_EEXIST   another process listens there, be it with SO_REUSEPORT
 * WH_EDENIED  this user may not bind that port
 * WH_EINVAL   the address cannot be resolved, is none of this machine's, or the port is above 65535
 * WH_EIO      anything else
 * On failure nothing stays open and one line for the operator is in `out_problem`.
 */
WH_MUST_CHECK enum wh_err listener_open(const char *address,
                                        uint64_t port,
                                        struct listener *listeners,
                                        unsigned workers,
                                        struct wh_buf *out_problem);
void listener_close(struct listener *listener);

/* Where `fd` listens: address text without brackets, and port. */
enum { LISTENER_ADDRESS_SIZE = 46 };
void listener_name(int fd, char out_address[LISTENER_ADDRESS_SIZE], uint16_t *out_port);

#endif
