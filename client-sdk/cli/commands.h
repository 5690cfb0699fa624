/*
 * What each command does: one function a command, in the file of its name.
 * argv[0] is not used; argc counts the arguments in argv[1…argc].
 */
#ifndef WH_CLI_COMMANDS_H
#define WH_CLI_COMMANDS_H

#include "client-sdk/cli/options.h"

enum { CLI_CHANNELS_MAX = 256 /* of one sub or watch */ };

/* Each returns an enum cli_status. */
int run_sub(struct app *app, int argc, char **argv);
int run_pub(struct app *app, int argc, char **argv);
int run_rpc(struct app *app, int argc, char **argv);
int run_presence(struct app *app, int argc, char **argv);
int run_stats(struct app *app, int argc, char **argv);
int run_history(struct app *app, int argc, char **argv);
int run_ping(struct app *app, int argc, char **argv);
int run_watch(struct app *app, int argc, char **argv);
int run_bench(struct app *app, int argc, char **argv);
int run_gen_token(struct app *app, int argc, char **argv);
int run_check_token(struct app *app, int argc, char **argv);
int run_decode(struct app *app, int argc, char **argv);
int run_context(struct app *app, int argc, char **argv);
int run_svc(struct app *app, int argc, char **argv);
int run_completion(struct app *app, int argc, char **argv);
int run_version(struct app *app, int argc, char **argv);
int run_help(struct app *app, int argc, char **argv);

#endif
