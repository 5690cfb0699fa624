/*
 * wirehub-loadgen: no service but their customers.  options reads the command
 * line, call makes one call until it is answered, shop plays the crowd, tally
 * counts.
 */
#include "services/loadgen/shop.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    struct loadgen_options options;
    switch (loadgen_options_parse(argc, argv, &options)) {
    case LOADGEN_HELP:
        return EXIT_SUCCESS;
    case LOADGEN_USAGE:
        return 2;
    case LOADGEN_RUN:
        break;
    }
    return shop_run(&options);
}
