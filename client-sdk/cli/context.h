/*
 * Contexts: options of the connection under a name, one JSON object in a file
 * of mode 0600 each, and a file "current" with the name of the one in use.
 */
#ifndef WH_CLI_CONTEXT_H
#define WH_CLI_CONTEXT_H

#include "client-sdk/cli/app.h"

/*
 * Fill what the command line left open, from --context, or from the environment and then the
 * context in use.  WH_EINVAL with the reason told.
 */
WH_MUST_CHECK enum wh_err context_apply(struct app *app);

#endif
