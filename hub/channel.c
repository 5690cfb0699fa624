/*
 * Names are opaque bytes that are compared exactly; nothing here folds case, trims or normalises,
 * so there is no second spelling of a channel.  A name is refused rather than mended.
 *
 *     $orders:live#42,43      $ private   orders namespace   #42,43 the users allowed
 *
 * The namespaces are in a map by name; each holds the options of the config and its compiled
 * channel_regex.
 */
#include "hub/channel.h"

#include "common/base/map.h"
#include "common/base/utf8.h"

#include <regex.h>
#include <stdlib.h>

struct space {
    struct wh_slice name; /* borrowed from the config */
    const struct channel_options *options;
    regex_t regex;
    bool has_regex;
};

struct channel_rules {
    const struct config *config; /* borrowed; outlives the rules */
    struct wh_slice private_prefix, namespace_boundary, user_boundary, user_separator;
    struct wh_map by_name; /* namespace name -> struct space */
    struct space root;     /* names without namespace */
    struct space *spaces;
    size_t space_count;
};

static enum wh_err space_init(struct space *space,
                              const char *name,
                              const struct channel_options *options)
{
    space->name = wh_slice_from_str(name);
    space->options = options;
    const char *pattern = options->channel_regex;
    if (!pattern || !*pattern)
        return WH_OK;
    int code = regcomp(&space->regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (code)
        return code == REG_ESPACE ? WH_ENOMEM : WH_EINVAL;
    space->has_regex = true;
    return WH_OK;
}

static enum wh_err add_spaces(struct channel_rules *rules)
{
    size_t count = rules->config->channel.namespaces.count;
    rules->spaces = calloc(count ? count : 1, sizeof(*rules->spaces));
    if (!rules->spaces)
        return WH_ENOMEM;
    rules->space_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct namespace_config *from = &rules->config->channel.namespaces.items[i];
        struct space *space = &rules->spaces[i];
        enum wh_err err = space_init(space, from->name, &from->options);
        if (err)
            return err;
        if (space->name.len == 0)
            return WH_EINVAL;
        err = wh_map_add(&rules->by_name, space->name, space);
        if (err)
            return err == WH_EEXIST ? WH_EINVAL : err;
    }
    return WH_OK;
}

enum wh_err channel_rules_new(const struct config *config, struct channel_rules **out_rules)
{
    struct channel_rules *rules = calloc(1, sizeof(*rules));
    if (!rules)
        return WH_ENOMEM;
    rules->config = config;
    rules->private_prefix = wh_slice_from_str(config->channel.private_prefix);
    rules->namespace_boundary = wh_slice_from_str(config->channel.namespace_boundary);
    rules->user_boundary = wh_slice_from_str(config->channel.user_boundary);
    rules->user_separator = wh_slice_from_str(config->channel.user_separator);
    enum wh_err err = space_init(&rules->root, "", &config->channel.without_namespace);
    if (!err)
        err = add_spaces(rules);
    if (err) {
        channel_rules_free(rules);
        return err;
    }
    *out_rules = rules;
    return WH_OK;
}

void channel_rules_free(struct channel_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; i < rules->space_count; i++)
        if (rules->spaces[i].has_regex)
            regfree(&rules->spaces[i].regex);
    if (rules->root.has_regex)
        regfree(&rules->root.regex);
    free(rules->spaces);
    wh_map_deinit(&rules->by_name);
    free(rules);
}

/* Where `mark` first stands in `text`; an empty mark (option switched off) stands nowhere. */
static const char *find_first(struct wh_slice text, struct wh_slice mark)
{
    if (mark.len == 0 || text.len < mark.len)
        return NULL;
    return memmem(text.ptr, text.len, mark.ptr, mark.len);
}

static const char *find_last(struct wh_slice text, struct wh_slice mark)
{
    if (mark.len == 0 || text.len < mark.len)
        return NULL;
    for (size_t at = text.len - mark.len + 1; at-- > 0;)
        if (memcmp(text.ptr + at, mark.ptr, mark.len) == 0)
            return text.ptr + at;
    return NULL;
}

bool channel_is_private(const struct channel_rules *rules, struct wh_slice name)
{
    return rules->private_prefix.len > 0 && wh_slice_starts_with(name, rules->private_prefix);
}

/*
 * The namespace of `name`, NULL when it names one that is not configured (":x" names the empty
 * one, which nobody can configure).  `out_rest` is what follows the namespace.
 */
static const struct space *find_space(const struct channel_rules *rules,
                                      struct wh_slice name,
                                      struct wh_slice *out_rest)
{
    *out_rest = name;
    if (channel_is_private(rules, name))
        *out_rest = wh_slice_from(name, rules->private_prefix.len);
    const char *boundary = find_first(*out_rest, rules->namespace_boundary);
    if (!boundary)
        return &rules->root;
    struct wh_slice space = wh_slice(out_rest->ptr, (size_t)(boundary - out_rest->ptr));
    *out_rest = wh_slice_from(*out_rest, space.len + rules->namespace_boundary.len);
    return wh_map_get(&rules->by_name, space);
}

enum byte_set { BYTES_REFUSED, BYTES_ASCII, BYTES_UTF8 };

/*
 * Control characters are refused whatever the options say: NUL ends C strings, CR and LF are
 * frames elsewhere, and none of them shows in a log.
 */
static enum byte_set classify_bytes(struct wh_slice name)
{
    bool is_ascii = true;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char byte = (unsigned char)name.ptr[i];
        if (byte < 0x20 || byte == 0x7f)
            return BYTES_REFUSED;
        is_ascii = is_ascii && byte < 0x80;
    }
    if (is_ascii)
        return BYTES_ASCII;
    return wh_utf8_is_valid(name) ? BYTES_UTF8 : BYTES_REFUSED;
}

/* Names of up to 255 bytes, the default, are matched on the stack. */
static bool matches(const struct space *space, struct wh_slice rest)
{
    char small[256];
    char *text = rest.len < sizeof(small) ? small : malloc(rest.len + 1);
    if (!text)
        return false;
    memcpy(text, rest.ptr, rest.len);
    text[rest.len] = '\0';
    bool does_match = regexec(&space->regex, text, 0, NULL, 0) == 0;
    if (text != small)
        free(text);
    return does_match;
}

enum wh_code channel_resolve(const struct channel_rules *rules,
                             struct wh_slice name,
                             const struct channel_options **out_options)
{
    if (name.len == 0 || name.len > rules->config->channel.max_length)
        return WH_ERROR_BAD_REQUEST;
    enum byte_set bytes = classify_bytes(name);
    if (bytes == BYTES_REFUSED)
        return WH_ERROR_BAD_REQUEST;
    struct wh_slice rest;
    const struct space *space = find_space(rules, name, &rest);
    if (!space)
        return WH_ERROR_UNKNOWN_CHANNEL;
    if (space->has_regex ? !matches(space, rest) : bytes != BYTES_ASCII)
        return WH_ERROR_BAD_REQUEST;
    *out_options = space->options;
    return WH_NO_ERROR;
}

struct wh_slice channel_namespace(const struct channel_rules *rules, struct wh_slice name)
{
    struct wh_slice rest;
    const struct space *space = find_space(rules, name, &rest);
    return space ? space->name : rules->root.name;
}

/* Whether `user` stands, byte for byte, in the list behind the last user boundary. */
static bool is_listed(const struct channel_rules *rules, struct wh_slice name, struct wh_slice user)
{
    const char *boundary = find_last(name, rules->user_boundary);
    /* "news#" and "news#42," list an empty id, which would let every anonymous client in. */
    if (!boundary || user.len == 0)
        return false;
    const char *start = boundary + rules->user_boundary.len;
    const char *end = name.ptr + name.len;
    for (;;) {
        struct wh_slice list = wh_slice(start, (size_t)(end - start));
        const char *separator = find_first(list, rules->user_separator);
        size_t len = separator ? (size_t)(separator - start) : list.len;
        if (len == user.len && memcmp(start, user.ptr, len) == 0)
            return true;
        if (!separator)
            return false;
        start = separator + rules->user_separator.len;
    }
}

/* The anonymity test that every rule shares. */
static bool is_known_or(const struct channel_actor *actor, bool allow_anonymous)
{
    return actor->user.len > 0 || allow_anonymous;
}

bool channel_may_subscribe(const struct channel_rules *rules,
                           struct wh_slice name,
                           const struct channel_options *options,
                           const struct channel_actor *actor)
{
    if (actor->has_token)
        return true;
    if (channel_is_private(rules, name))
        return false;
    bool is_user_limited =
        options->allow_user_limited_channels && find_last(name, rules->user_boundary);
    if (is_user_limited) {
        if (is_listed(rules, name, actor->user))
            return true;
    } else if (options->allow_subscribe_for_client &&
               is_known_or(actor, options->allow_subscribe_for_anonymous)) {
        return true;
    }
    return rules->config->client.insecure;
}

/* The rule that publish, presence and history share, each with its own three options. */
static bool may(const struct channel_rules *rules,
                const struct channel_actor *actor,
                bool for_client,
                bool for_subscriber,
                bool for_anonymous)
{
    bool is_eligible = for_client || (for_subscriber && actor->is_subscribed);
    return (is_eligible && is_known_or(actor, for_anonymous)) || rules->config->client.insecure;
}

bool channel_may_publish(const struct channel_rules *rules,
                         const struct channel_options *options,
                         const struct channel_actor *actor)
{
    return may(rules, actor, options->allow_publish_for_client,
               options->allow_publish_for_subscriber, options->allow_publish_for_anonymous);
}

bool channel_may_see_presence(const struct channel_rules *rules,
                              const struct channel_options *options,
                              const struct channel_actor *actor)
{
    return may(rules, actor, options->allow_presence_for_client,
               options->allow_presence_for_subscriber, options->allow_presence_for_anonymous);
}

bool channel_may_see_history(const struct channel_rules *rules,
                             const struct channel_options *options,
                             const struct channel_actor *actor)
{
    return may(rules, actor, options->allow_history_for_client,
               options->allow_history_for_subscriber, options->allow_history_for_anonymous);
}

uint64_t channel_meta_ttl_ms(const struct config *config, const struct channel_options *options)
{
    uint64_t ttl_ms = options->history_meta_ttl_ms ? options->history_meta_ttl_ms
                                                   : config->channel.history_meta_ttl_ms;
    return ttl_ms > options->history_ttl_ms ? ttl_ms : options->history_ttl_ms;
}

/* Data */

static bool has_format(struct wh_payload data, enum publication_data_format format)
{
    struct wh_payload as_is = data;
    if (data.kind == WH_PAYLOAD_BYTES) /* bytes that happen to be JSON count as JSON */
        as_is = wh_payload_classify(data.bytes);
    switch (format) {
    case DATA_ANY_NON_EMPTY:
        return data.bytes.len > 0;
    case DATA_BINARY:
        return true;
    case DATA_JSON:
        return as_is.kind == WH_PAYLOAD_JSON;
    case DATA_JSON_OBJECT:
        return as_is.kind == WH_PAYLOAD_JSON && as_is.bytes.ptr[0] == '{';
    }
    return false;
}

bool channel_takes_data(const struct channel_options *options, struct wh_payload data)
{
    return has_format(data, options->publication_data_format) && wh_payload_check(data) == WH_OK;
}
