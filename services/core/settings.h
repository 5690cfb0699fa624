/*
 * The options that every service has, and loading them together with those of
 * one service: file, WIREHUB_<NAME>_… variables and flags fill one block of
 * memory, [struct svc_settings][the service's own struct].
 */
#ifndef SERVICES_CORE_SETTINGS_H
#define SERVICES_CORE_SETTINGS_H

#include "common/base/log.h"
#include "common/config/load.h"
#include "common/io/otlp_setup.h"
#include "services/core/service.h"

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
    struct wh_otlp_config opentelemetry;
    struct {
        uint64_t hung_after_ms; /* every worker busy with one call this long: not alive any more */
    } rpc;
};

/* Table, names and texts of one service's configuration; made once, for the life of the process. */
struct svc_config {
    struct wh_config_program program;
    struct wh_option_table table;
    const struct svc_def *def;
    struct wh_arena arena; /* the rows and the names */
};

/* WH_ENOMEM. */
WH_MUST_CHECK enum wh_err svc_config_init(struct svc_config *config, const struct svc_def *def);
void svc_config_deinit(struct svc_config *config);

/* The two structs of a loaded set. */
const struct svc_settings *svc_config_settings(const struct wh_option_set *set);
const void *svc_config_own_settings(const struct wh_option_set *set);

#endif
