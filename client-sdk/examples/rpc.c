/*
 * rpc URL METHOD [JSON]: one call, and every way in which it can end.
 *
 *     rpc ws://localhost:8000/connection/websocket products.v1.list '{}'
 *
 * WIREHUB_TOKEN, if set, says who asks.
 */
#include <wirehub/wirehub.h>

#include <stdio.h>
#include <stdlib.h>

static int explain(enum wh_err err, const struct wh_error *detail)
{
    switch (err) {
    case WH_ESERVER: /* the service answered, and the answer is no */
        fprintf(stderr, "error %u: %s%s\n", detail->code, detail->text,
                detail->temporary ? " (the same may succeed later)" : "");
        return 1;
    case WH_ETIMEOUT:
    case WH_ECONNLOST: /* it may have happened, or not: ask, or repeat with an idempotency key */
        fprintf(stderr, "no answer (%s): it may have happened all the same\n", wh_err_text(err));
        return 3;
    case WH_ECONNECT:
    case WH_EDISCONNECTED:
        fprintf(stderr, "cannot connect: %s\n", detail->text);
        return 4;
    case WH_EUNAUTHORIZED:
        fprintf(stderr, "the server refuses the token: %s\n", detail->text);
        return 5;
    case WH_EFORMAT:
        fprintf(stderr, "what was to be sent is no JSON: %s\n", detail->text);
        return 2;
    default:
        fprintf(stderr, "%s: %s\n", wh_err_name(err), detail->text);
        return 1;
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: rpc URL METHOD [JSON]\n");
        return 2;
    }
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = argv[1];
    options.token = getenv("WIREHUB_TOKEN");
    struct wh_client *client = NULL;
    struct wh_result *result = NULL;
    struct wh_error detail = {0};
    enum wh_err err = wh_client_new(&options, &client, &detail);
    if (!err)
        err = wh_client_connect_wait(client, 5000, &detail);
    if (!err)
        err = wh_client_rpc_sync(client, argv[2], wh_json(argc > 3 ? argv[3] : "{}"), 0, &result,
                                 &detail);
    int status = 0;
    if (err)
        status = explain(err, &detail);
    else
        printf("%.*s\n", (int)result->data.len, (const char *)result->data.ptr);
    wh_result_free(result);
    wh_client_free(client);
    return status;
}
