#include "common/io/redis_run.h"

#define RUN_ALWAYS ":always"

static bool ends_with(struct wh_slice text, const char *end)
{
    size_t len = strlen(end);
    return text.len >= len && memcmp(text.ptr + text.len - len, end, len) == 0;
}

/* The value that follows `name` in a reply of names and values. */
static bool has_setting(const struct wh_redis_reply *reply, const char *name, const char *value)
{
    for (size_t i = 0; i + 1 < reply->count; i += 2) {
        if (wh_slice_equal_str(reply->items[i].text, name))
            return wh_slice_equal_str(reply->items[i + 1].text, value);
    }
    return false;
}

/* The value of "<name>:<value>\r\n" in an INFO text; empty when there is none. */
static struct wh_slice info_value(struct wh_slice info, const char *name)
{
    size_t name_len = strlen(name);
    const char *line = info.ptr;
    const char *end = info.ptr + info.len;
    while (line < end) {
        const char *line_end = memchr(line, '\r', (size_t)(end - line));
        if (!line_end)
            line_end = end;
        size_t len = (size_t)(line_end - line);
        if (len > name_len && memcmp(line, name, name_len) == 0 && line[name_len] == ':')
            return wh_slice(line + name_len + 1, len - name_len - 1);
        line = line_end + (end - line_end > 1 ? 2 : 1);
    }
    return WH_SLICE_LITERAL("");
}

enum wh_err wh_redis_run_read(struct wh_slice info, struct wh_redis_run *out_run)
{
    struct wh_slice run_id = info_value(info, "run_id");
    struct wh_slice older = info_value(info, "master_replid2");
    if (run_id.len == 0 || run_id.len + sizeof RUN_ALWAYS > sizeof out_run->value)
        return WH_EFORMAT;
    memcpy(out_run->value, run_id.ptr, run_id.len);
    out_run->value[run_id.len] = '\0';
    out_run->was_promoted = older.len > 0 && strspn(older.ptr, "0") < older.len;
    return WH_OK;
}

bool wh_redis_run_is_always(struct wh_redis_run *run, const struct wh_redis_reply *settings)
{
    if (settings->type != WH_REDIS_ARRAY || !has_setting(settings, "appendonly", "yes") ||
        !has_setting(settings, "appendfsync", "always"))
        return false;
    /* wh_redis_run_read has left room for it. */
    memcpy(run->value + strlen(run->value), RUN_ALWAYS, sizeof RUN_ALWAYS);
    return true;
}

bool wh_redis_run_stays(const struct wh_redis_run *run, const struct wh_redis_reply *old)
{
    return !run->was_promoted && old->type == WH_REDIS_STRING && ends_with(old->text, RUN_ALWAYS);
}
