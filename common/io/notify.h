/*
 * What systemd wants to know of a service of Type=notify: one datagram per
 * message to the socket named in $NOTIFY_SOCKET (sd_notify(3)).  The protocol
 * is small and libsystemd is not, so these are our own lines.
 */
#ifndef WH_IO_NOTIFY_H
#define WH_IO_NOTIFY_H

#include <stdint.h>

/* Send `state`, for example "READY=1".  Nothing happens outside systemd; failures are ignored. */
void wh_notify_send(const char *state);

/* "RELOADING=1" with the time stamp that goes with it; follow it up with "READY=1". */
void wh_notify_reloading(void);

/*
 * How often to send "WATCHDOG=1": half of the unit's WatchdogSec, in milliseconds; 0 when the
 * watchdog is off or meant for another process.
 */
uint64_t wh_notify_watchdog_ms(void);

#endif
