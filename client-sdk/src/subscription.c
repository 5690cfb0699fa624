/* Subscriptions as programs see them: the functions of wirehub/subscription.h. */
#include "client-sdk/src/client.h"
#include "client-sdk/src/sub.h"
#include "client-sdk/src/trace.h"

static enum wh_err check(const struct wh_sub *sub)
{
    return sub ? client_check(sub->client) : WH_EINVAL;
}

enum wh_err wh_sub_new(struct wh_client *client,
                       const char *channel,
                       const struct wh_sub_options *options,
                       struct wh_sub **out_sub,
                       struct wh_error *detail)
{
    enum wh_err err = client_check(client);
    if (err == WH_OK && (!channel || !out_sub))
        err = WH_EINVAL;
    if (err != WH_OK)
        return shell_fail(detail, err, "%s", wh_err_text(err));
    struct wh_error why = {.err = WH_OK};
    struct engine *engine = client_lock(client);
    if (engine->state == ENGINE_CLOSED)
        err = WH_ECLOSED;
    else
        err = sub_new(engine, channel, options, out_sub, &why);
    client_unlock(client);
    if (err != WH_OK)
        return shell_fail(detail, err, "%s", why.text[0] ? why.text : wh_err_text(err));
    return WH_OK;
}

struct wh_sub *wh_client_subscribe(struct wh_client *client,
                                   const char *channel,
                                   wh_publication_cb *on_publication,
                                   void *user)
{
    struct wh_sub_events events = {WH_SUB_EVENTS_INIT, .publication = on_publication};
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    options.events = &events;
    options.user = user;
    struct wh_sub *sub = NULL;
    struct wh_error error = {.err = WH_OK};
    enum wh_err err = wh_sub_new(client, channel, &options, &sub, &error);
    if (err == WH_OK) {
        err = wh_sub_subscribe(sub);
        if (err == WH_OK)
            return sub;
        (void)shell_fail(&error, err, "%s", wh_err_text(err));
        wh_sub_free(sub);
    }
    trace_line(WH_SEVERITY_ERROR, "sub", "subscribe_failed", "channel=\"%s\" err=%s reason=\"%s\"",
               channel ? channel : "", wh_err_name(err), error.text);
    return NULL;
}

enum wh_err wh_sub_subscribe(struct wh_sub *sub)
{
    enum wh_err err = check(sub);
    if (err != WH_OK)
        return err;
    struct engine *engine = client_lock(sub->client);
    err = engine->state == ENGINE_CLOSED ? WH_ECLOSED : sub_subscribe(sub);
    client_unlock(sub->client);
    return err;
}

enum wh_err wh_sub_subscribe_wait(struct wh_sub *sub, uint32_t timeout_ms, struct wh_error *detail)
{
    enum wh_err err = check(sub);
    if (err != WH_OK)
        return shell_fail(detail, err, "%s", wh_err_text(err));
    return client_wait_state(sub->client, sub, timeout_ms, detail);
}

enum wh_err wh_sub_unsubscribe(struct wh_sub *sub)
{
    enum wh_err err = check(sub);
    if (err != WH_OK)
        return err;
    struct engine *engine = client_lock(sub->client);
    if (engine->state == ENGINE_CLOSED)
        err = WH_ECLOSED;
    else
        sub_unsubscribe(sub, 0, "unsubscribe called");
    client_unlock(sub->client);
    return err;
}

void wh_sub_free(struct wh_sub *sub)
{
    if (check(sub) != WH_OK)
        return;
    struct wh_client *client = sub->client;
    (void)client_lock(client);
    sub_forget(sub);
    client_unlock(client);
}

enum wh_sub_state wh_sub_state(const struct wh_sub *sub)
{
    if (check(sub) != WH_OK)
        return WH_SUB_UNSUBSCRIBED;
    (void)client_lock(sub->client);
    enum wh_sub_state state = sub->state;
    client_unlock(sub->client);
    return state;
}

const char *wh_sub_state_name(enum wh_sub_state state)
{
    switch (state) {
    case WH_SUB_UNSUBSCRIBED:
        return "unsubscribed";
    case WH_SUB_SUBSCRIBING:
        return "subscribing";
    case WH_SUB_SUBSCRIBED:
        return "subscribed";
    }
    return "unknown";
}

const char *wh_sub_channel(const struct wh_sub *sub)
{
    return sub ? sub->channel : NULL;
}

struct wh_client *wh_sub_client(const struct wh_sub *sub)
{
    return sub ? sub->client : NULL;
}

void *wh_sub_user(const struct wh_sub *sub)
{
    return sub ? sub->user : NULL;
}

struct wh_sub *wh_client_sub(struct wh_client *client, const char *channel)
{
    if (!channel || client_check(client) != WH_OK)
        return NULL;
    struct wh_sub *sub = sub_find(client_lock(client), wh_slice_from_str(channel));
    client_unlock(client);
    return sub;
}

enum wh_err wh_sub_position(struct wh_sub *sub,
                            uint64_t *out_offset,
                            char *epoch,
                            size_t epoch_size)
{
    enum wh_err err = check(sub);
    if (err != WH_OK)
        return err;
    (void)client_lock(sub->client);
    const struct sub_position *position = sub_stored_position(sub);
    size_t size = position ? strlen(position->epoch) + 1 : 0;
    if (!position)
        err = WH_ENOTFOUND;
    else if (epoch && epoch_size < size)
        err = WH_ELIMIT;
    if (err == WH_OK && out_offset)
        *out_offset = position->offset;
    if (err == WH_OK && epoch)
        memcpy(epoch, position->epoch, size);
    client_unlock(sub->client);
    return err;
}

enum wh_err wh_sub_set_filter(struct wh_sub *sub, const struct wh_filter *filter)
{
    enum wh_err err = check(sub);
    if (err != WH_OK)
        return err;
    (void)client_lock(sub->client);
    err = sub_set_filter(sub, filter);
    client_unlock(sub->client);
    return err;
}

enum wh_err wh_sub_set_token(struct wh_sub *sub, const char *token)
{
    enum wh_err err = check(sub);
    if (err != WH_OK)
        return err;
    (void)client_lock(sub->client);
    err = sub_set_token(sub, token);
    client_unlock(sub->client);
    return err;
}
