/*
 * The options that every service has, and loading them together with those of
 * one service: file, WIREHUB_<NAME>_… variables and flags fill one block of
 * memory, [struct svc_settings][the service's own struct].
 */
#ifndef SERVICES_CORE_SETTINGS_H
#define SERVICES_CORE_SETTINGS_H

#include "common/base/log.h"

#include <stdint.h>

struct svc_settings {
    struct {
        char *address;  /* host:port, or unix:///path */
        char *user;     /* NULL or "" = default */
        char *password; /* secret */
        uint64_t db;
    } redis;
    struct {
        char *url; /* secret; NULL or "" = none given */
    } database;
    uint64_t workers; /* threads that run handlers */
    struct {
        char *address;
        uint64_t port; /* 0 = the kernel chooses, and the log says which */
    } http;
    struct {
        enum wh_log_level level;
        enum wh_log_format format;
    } log;
    struct {
        uint64_t timeout_ms;
    } shutdown;
    struct {
        uint64_t hung_after_ms; /* all workers busy this long: not alive any more */
    } rpc;
};

#endif
