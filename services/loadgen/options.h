/* The command line of wirehub-loadgen. */
#ifndef SERVICES_LOADGEN_OPTIONS_H
#define SERVICES_LOADGEN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct loadgen_options {
    const char *url;         /* of the hub, without a slash at the end; from argv */
    double rate;             /* orders a second, over all customers */
    uint32_t customers;      /* accounts */
    double duration_s;       /* of ordering; what is under way then may still end */
    uint32_t cancel_percent; /* of orders, cancelled at once */
    bool is_quiet;           /* no line each second: for runs of days */
};

enum loadgen_wish { LOADGEN_RUN, LOADGEN_HELP, LOADGEN_USAGE };

/* LOADGEN_HELP: the help was printed.  LOADGEN_USAGE: what is wrong was said on stderr. */
enum loadgen_wish loadgen_options_parse(int argc, char **argv, struct loadgen_options *out);

#endif
