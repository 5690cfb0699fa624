#include "services/loadgen/options.h"

#include "common/base/option.h"
#include "common/io/http_client.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CUSTOMERS_MAX = 100000, RATE_MAX = 100000, DURATION_MAX_S = 7 * 24 * 3600, URL_MAX = 1000 };

static const char help[] =
    "usage: wirehub-loadgen [OPTIONS]\n"
    "\n"
    "Plays customers of a hub with the services user, order and payment: they register, buy with\n"
    "cards that pay, are declined, slow or leave an answer behind, and cancel some orders. Each\n"
    "call has an idempotency key and is made again after an error that says so.\n"
    "\n"
    "  --url URL          of the hub (default http://127.0.0.1:8000)\n"
    "  --rate N           orders a second, over all customers (default 10)\n"
    "  --customers N      accounts to make (default 10)\n"
    "  --duration TIME    of ordering, such as 30s or 5m (default 30s)\n"
    "  --cancel PERCENT   of orders, cancelled at once (default 10)\n"
    "  --quiet            no line each second\n"
    "  --help\n"
    "\n"
    "Shows a line each second and a summary at the end. Status 0: all calls were answered;\n"
    "1: some were not, or there is nobody to buy from; 2: the command line is wrong.\n";

static const struct option rows[] = {{"url", required_argument, NULL, 'u'},
                                     {"rate", required_argument, NULL, 'r'},
                                     {"customers", required_argument, NULL, 'c'},
                                     {"duration", required_argument, NULL, 'd'},
                                     {"cancel", required_argument, NULL, 'x'},
                                     {"quiet", no_argument, NULL, 'q'},
                                     {"help", no_argument, NULL, 'h'},
                                     {NULL, 0, NULL, 0}};

static bool read_number(const char *name, const char *text, double min, double max, double *out)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < min || value > max) {
        (void)fprintf(stderr, "wirehub-loadgen: --%s %s: a number from %g to %g\n", name, text, min,
                      max);
        return false;
    }
    *out = value;
    return true;
}

static bool read_count(const char *name, const char *text, double min, double max, uint32_t *out)
{
    double value = 0;
    if (!read_number(name, text, min, max, &value))
        return false;
    if (value != floor(value)) {
        (void)fprintf(stderr, "wirehub-loadgen: --%s %s: a whole number\n", name, text);
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool read_duration(const char *text, double *out_s)
{
    uint64_t ms = 0;
    if (wh_duration_parse(wh_slice_from_str(text), &ms) || ms == 0 ||
        ms > (uint64_t)DURATION_MAX_S * 1000) {
        (void)fprintf(stderr, "wirehub-loadgen: --duration %s: like 30s or 5m, at most a week\n",
                      text);
        return false;
    }
    *out_s = (double)ms / 1000;
    return true;
}

static bool read_url(const char *text, const char **out)
{
    size_t len = strlen(text);
    if (!wh_http_url_is_valid(text) || len > URL_MAX || text[len - 1] == '/') {
        (void)fprintf(stderr, "wirehub-loadgen: --url %s: like http://127.0.0.1:8000\n", text);
        return false;
    }
    *out = text;
    return true;
}

static bool read_option(int id, struct loadgen_options *out)
{
    switch (id) {
    case 'u':
        return read_url(optarg, &out->url);
    case 'r':
        return read_number("rate", optarg, 0.01, RATE_MAX, &out->rate);
    case 'c':
        return read_count("customers", optarg, 1, CUSTOMERS_MAX, &out->customers);
    case 'd':
        return read_duration(optarg, &out->duration_s);
    case 'x':
        return read_count("cancel", optarg, 0, 100, &out->cancel_percent);
    case 'q':
        out->is_quiet = true;
        return true;
    default:
        return false; /* getopt has said what is wrong */
    }
}

enum loadgen_wish loadgen_options_parse(int argc, char **argv, struct loadgen_options *out)
{
    *out = (struct loadgen_options){.url = "http://127.0.0.1:8000",
                                    .rate = 10,
                                    .customers = 10,
                                    .duration_s = 30,
                                    .cancel_percent = 10};
    for (;;) {
        int id = getopt_long(argc, argv, "", rows, NULL);
        if (id == -1)
            break;
        if (id == 'h') {
            (void)fputs(help, stdout);
            return LOADGEN_HELP;
        }
        if (!read_option(id, out))
            return LOADGEN_USAGE;
    }
    if (optind < argc) {
        (void)fprintf(stderr, "wirehub-loadgen: %s: no such option; see --help\n", argv[optind]);
        return LOADGEN_USAGE;
    }
    return LOADGEN_RUN;
}
