/* argv to a command, and one place where everything ends. */
#include "client-sdk/cli/app.h"
#include "client-sdk/cli/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

static int run(struct app *app, int argc, char **argv)
{
    const struct cli_command *command = NULL;
    struct wh_buf problem = {0};
    int count = 0, status;
    enum wh_err err = cli_parse(argc, argv, &app->settings, &command, &count, &problem);
    output_init(&app->out, app->settings.json, app->settings.pretty, app->settings.quiet);
    if (command)
        app->command = command->name;
    if (err) {
        status = app_usage(app, "%s", wh_buf_cstr(&problem));
    } else if (app->settings.help || !command) {
        struct wh_buf text = {0};
        if (command)
            cli_help_write_command(command, &text);
        else
            cli_help_write(&text);
        fputs(wh_buf_cstr(&text), app->settings.help ? stdout : stderr);
        wh_buf_deinit(&text);
        status = app->settings.help ? CLI_OK : CLI_USAGE;
    } else {
        status = command->run(app, count, argv);
    }
    wh_buf_deinit(&problem);
    return status;
}

int main(int argc, char **argv)
{
    static struct app app;
    app.command = "";
    signal(SIGPIPE, SIG_IGN);
    int status = run(&app, argc, argv);
    bool is_read = output_flush();
    if (!is_read && errno != EPIPE && status == CLI_OK) {
        fprintf(stderr, "wh: standard output: %s\n", strerror(errno));
        status = CLI_ERROR;
    }
    output_deinit(&app.out);
    wh_arena_deinit(&app.arena);
    return status;
}
