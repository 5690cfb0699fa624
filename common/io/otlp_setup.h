/*
 * From options to a tracer with its exporter: the same options, with the same meaning, for the hub
 * and for services.  What an option leaves open the variables of OpenTelemetry say:
 * OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER_ARG.  Loop thread.
 */
#ifndef WH_IO_OTLP_SETUP_H
#define WH_IO_OTLP_SETUP_H

#include "common/base/buf.h"
#include "common/base/option.h"
#include "common/io/otlp.h"

/* As options fill it; each text may be NULL or "". */
struct wh_otlp_config {
    bool enabled;
    char *endpoint;     /* else the variable, else WH_OTLP_ENDPOINT */
    char *sample_ratio; /* else the variable, else 1 */
    char *headers;      /* secret; "name=value,name=value", values may be percent-encoded */
};

#define WH_OTLP_ENDPOINT "http://127.0.0.1:4318"

/* The rows of an option table; `at(member)` is where the member of struct wh_otlp_config is. */
#define WH_OTLP_OPTION_ROWS(at)                                                                    \
    {.name = "opentelemetry.enabled",                                                              \
     .type = WH_OPTION_BOOL,                                                                       \
     .offset = at(enabled),                                                                        \
     .help = "Record spans and send them to a collector."},                                        \
        {.name = "opentelemetry.endpoint",                                                         \
         .type = WH_OPTION_STRING,                                                                 \
         .offset = at(endpoint),                                                                   \
         .max = 1024,                                                                              \
         .help = "Its OTLP/HTTP address; empty is `OTEL_EXPORTER_OTLP_ENDPOINT`, or else "         \
                 "`" WH_OTLP_ENDPOINT "`."},                                                       \
        {.name = "opentelemetry.sample_ratio",                                                     \
         .type = WH_OPTION_STRING,                                                                 \
         .offset = at(sample_ratio),                                                               \
         .max = 20,                                                                                \
         .help = "Share of new traces that is recorded, 0 to 1; empty is "                         \
                 "`OTEL_TRACES_SAMPLER_ARG`, or else 1."},                                         \
    {                                                                                              \
        .name = "opentelemetry.headers", .type = WH_OPTION_STRING, .flags = WH_OPTION_SECRET,      \
        .offset = at(headers), .max = 8192,                                                        \
        .help = "Headers for the collector, `name=value,name=value`; empty is "                    \
                "`OTEL_EXPORTER_OTLP_HEADERS`."                                                    \
    }

struct wh_telemetry {
    struct wh_tracer *tracer; /* both NULL: tracing is off */
    struct wh_otlp *otlp;
};

/*
 * What is wrong with one of the texts, as an option's problem ("is no http:// or https:// URL");
 * NULL = nothing.  `*out_name` is the option's name.  Looks at the options alone.
 */
const char *wh_otlp_config_check(const struct wh_otlp_config *config, const char **out_name);

/*
 * With config->enabled false: nothing, WH_OK.  `resource` is copied, `counted` as in
 * struct wh_otlp_options.  WH_EINVAL with a text in `out_problem` (never a header's value);
 * WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_telemetry_start(struct wh_loop *loop,
                                             const struct wh_otlp_config *config,
                                             const struct wh_otlp_resource *resource,
                                             void (*counted)(void *user,
                                                             uint64_t exported,
                                                             uint64_t dropped),
                                             void *user,
                                             struct wh_telemetry *out_telemetry,
                                             struct wh_buf *out_problem);

/* After wh_otlp_close, or without; the loop has to turn afterwards.  Zeroed is fine. */
void wh_telemetry_free(struct wh_telemetry *telemetry);

#endif
