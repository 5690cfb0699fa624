/*
 * Steps: (1) one JSON object and nothing else; (2) our schema, with the types of every claim that
 * we use; (3) the user, whose claim has a configurable name and so is read by hand; (4) the kind:
 * `channel` makes a subscription token; (5) issuer and audience; (6) times.  A failure before (6)
 * is WH_EDENIED, so an expired token says so only when it is otherwise good.
 */
#include "hub/token_claims.h"

#include "common/base/base64.h"
#include "common/protocol/codec.h"
#include "common/protocol/json.h"

#include <stddef.h>
#include <stdlib.h>

static const char reason_claims[] = "claims";

struct raw_bool {
    bool value;
};

struct raw_overrides {
    struct raw_bool *presence, *join_leave, *force_push_join_leave, *force_positioning,
        *force_recovery;
};

struct raw_subscription {
    struct wh_slice info, b64info, data, b64data;
    struct raw_overrides *override;
};

/* Times are raw because 0 and absent differ, and aud because it may be a string or an array. */
struct raw_claims {
    struct wh_slice exp, expire_at, nbf, iat, aud, iss, jti;
    struct wh_slice info, b64info, meta, data, b64data;
    struct wh_slice channel, client;
    struct wh_strings channels;
    struct wh_strings roles;
    WH_MESSAGE_MAP(struct raw_subscription) subs;
    struct raw_overrides *override;
};

#define FIELD(of_type, owner, member, sub_schema)                                                  \
    {                                                                                              \
        .name = #member, .type = (of_type), .offset = offsetof(struct owner, member),              \
        .schema = (sub_schema)                                                                     \
    }
#define SCHEMA(owner, table)                                                                       \
    {                                                                                              \
        .name = #owner, .size = sizeof(struct owner), .fields = (table),                           \
        .field_count = sizeof(table) / sizeof((table)[0])                                          \
    }

static const struct wh_field bool_fields[] = {FIELD(WH_FIELD_BOOL, raw_bool, value, NULL)};
static const struct wh_schema bool_schema = SCHEMA(raw_bool, bool_fields);

static const struct wh_field overrides_fields[] = {
    FIELD(WH_FIELD_MESSAGE, raw_overrides, presence, &bool_schema),
    FIELD(WH_FIELD_MESSAGE, raw_overrides, join_leave, &bool_schema),
    FIELD(WH_FIELD_MESSAGE, raw_overrides, force_push_join_leave, &bool_schema),
    FIELD(WH_FIELD_MESSAGE, raw_overrides, force_positioning, &bool_schema),
    FIELD(WH_FIELD_MESSAGE, raw_overrides, force_recovery, &bool_schema),
};
static const struct wh_schema overrides_schema = SCHEMA(raw_overrides, overrides_fields);

static const struct wh_field subscription_fields[] = {
    FIELD(WH_FIELD_RAW_JSON, raw_subscription, info, NULL),
    FIELD(WH_FIELD_STRING, raw_subscription, b64info, NULL),
    FIELD(WH_FIELD_RAW_JSON, raw_subscription, data, NULL),
    FIELD(WH_FIELD_STRING, raw_subscription, b64data, NULL),
    FIELD(WH_FIELD_MESSAGE, raw_subscription, override, &overrides_schema),
};
static const struct wh_schema subscription_schema = SCHEMA(raw_subscription, subscription_fields);

static const struct wh_field claims_fields[] = {
    FIELD(WH_FIELD_RAW_JSON, raw_claims, exp, NULL),
    FIELD(WH_FIELD_RAW_JSON, raw_claims, expire_at, NULL),
    FIELD(WH_FIELD_RAW_JSON, raw_claims, nbf, NULL),
    FIELD(WH_FIELD_RAW_JSON, raw_claims, iat, NULL),
    FIELD(WH_FIELD_RAW_JSON, raw_claims, aud, NULL),
    FIELD(WH_FIELD_STRING, raw_claims, iss, NULL),
    FIELD(WH_FIELD_STRING, raw_claims, jti, NULL),
    FIELD(WH_FIELD_RAW_JSON, raw_claims, info, NULL),
    FIELD(WH_FIELD_STRING, raw_claims, b64info, NULL),
    FIELD(WH_FIELD_RAW_JSON, raw_claims, meta, NULL),
    FIELD(WH_FIELD_RAW_JSON, raw_claims, data, NULL),
    FIELD(WH_FIELD_STRING, raw_claims, b64data, NULL),
    FIELD(WH_FIELD_STRING, raw_claims, channel, NULL),
    FIELD(WH_FIELD_STRING, raw_claims, client, NULL),
    FIELD(WH_FIELD_STRINGS, raw_claims, channels, NULL),
    FIELD(WH_FIELD_STRINGS, raw_claims, roles, NULL),
    FIELD(WH_FIELD_MESSAGE_MAP, raw_claims, subs, &subscription_schema),
    FIELD(WH_FIELD_MESSAGE, raw_claims, override, &overrides_schema),
};
static const struct wh_schema claims_schema = SCHEMA(raw_claims, claims_fields);

/*
 * A null would be "absent" to the codec: for these claims that would turn a mistake of the issuer
 * into a token that never expires, is good for every audience, or belongs to nobody.
 */
static const char *const never_null[] = {"exp", "expire_at", "nbf",     "iat",   "aud",
                                         "iss", "jti",       "channel", "client"};

static bool is_never_null(struct wh_slice key)
{
    for (size_t i = 0; i < sizeof(never_null) / sizeof(never_null[0]); i++)
        if (wh_slice_equal_str(key, never_null[i]))
            return true;
    return false;
}

/* ---- rules ---- */

static enum wh_err copy_option(char **out, const char *text)
{
    if (!text || !*text)
        return WH_OK;
    *out = strdup(text);
    return *out ? WH_OK : WH_ENOMEM;
}

static enum wh_err compile(regex_t *regex,
                           bool *has_regex,
                           const char *name,
                           const char *pattern,
                           struct wh_buf *problem)
{
    if (!pattern || !*pattern)
        return WH_OK;
    int code = regcomp(regex, pattern, REG_EXTENDED | REG_NOSUB);
    *has_regex = code == 0;
    if (code == 0)
        return WH_OK;
    if (code == REG_ESPACE)
        return WH_ENOMEM;
    char text[128];
    regerror(code, regex, text, sizeof(text));
    wh_buf_printf(problem, "%s: %s (POSIX extended syntax)\n", name, text);
    return WH_EINVAL;
}

static bool are_both_set(const char *name,
                         const char *exact,
                         const char *pattern,
                         struct wh_buf *problem)
{
    if (!exact || !*exact || !pattern || !*pattern)
        return false;
    wh_buf_printf(problem, "%s and %s_regex are both set; leave one\n", name, name);
    return true;
}

enum wh_err token_rules_init(struct token_rules *rules,
                             const struct token_config *config,
                             struct wh_buf *problem)
{
    if (are_both_set("audience", config->audience, config->audience_regex, problem) ||
        are_both_set("issuer", config->issuer, config->issuer_regex, problem))
        return WH_EINVAL;
    bool has_user_claim = config->user_id_claim && *config->user_id_claim;
    enum wh_err err =
        copy_option(&rules->user_claim, has_user_claim ? config->user_id_claim : "sub");
    if (!err)
        err = copy_option(&rules->audience, config->audience);
    if (!err)
        err = copy_option(&rules->issuer, config->issuer);
    if (!err)
        err = compile(&rules->audience_regex, &rules->has_audience_regex, "audience_regex",
                      config->audience_regex, problem);
    if (!err)
        err = compile(&rules->issuer_regex, &rules->has_issuer_regex, "issuer_regex",
                      config->issuer_regex, problem);
    return err;
}

void token_rules_deinit(struct token_rules *rules)
{
    if (rules->has_audience_regex)
        regfree(&rules->audience_regex);
    if (rules->has_issuer_regex)
        regfree(&rules->issuer_regex);
    free(rules->user_claim);
    free(rules->audience);
    free(rules->issuer);
    *rules = (struct token_rules){0};
}

/* ---- reading ---- */

/*
 * The codec takes one message a line, while a payload may be pretty-printed.  In valid JSON a raw
 * line feed can only be white space, so a space in its place changes nothing.
 */
static enum wh_err put_on_one_line(struct wh_slice *text, struct wh_arena *arena)
{
    if (!memchr(text->ptr, '\n', text->len))
        return WH_OK;
    if (!wh_json_is_valid(*text))
        return WH_EFORMAT;
    char *copy = wh_arena_alloc(arena, text->len);
    if (!copy)
        return WH_ENOMEM;
    for (size_t i = 0; i < text->len; i++)
        copy[i] = text->ptr[i] == '\n' ? ' ' : text->ptr[i];
    text->ptr = copy;
    return WH_OK;
}

static enum wh_err decode_raw(struct wh_slice payload,
                              struct wh_arena *arena,
                              struct raw_claims *raw)
{
    enum wh_err err = wh_decode(WH_ENCODING_JSON, &claims_schema, &payload, arena, raw);
    if (err)
        return err == WH_EEND ? WH_EFORMAT : err;
    return payload.len == 0 ? WH_OK : WH_EFORMAT;
}

/* The value of one top-level member, of which only the user is kept. */
static enum wh_err read_member(struct wh_json_reader *reader,
                               const char *user_claim,
                               struct wh_slice key,
                               struct wh_arena *arena,
                               struct wh_slice *out_user)
{
    enum wh_json_type type;
    enum wh_err err = wh_json_peek(reader, &type);
    if (err)
        return err;
    if (type == WH_JSON_NULL && is_never_null(key))
        return WH_EFORMAT;
    if (!wh_slice_equal_str(key, user_claim))
        return wh_json_skip(reader, NULL);
    return type == WH_JSON_STRING ? wh_json_read_string(reader, arena, out_user) : WH_EFORMAT;
}

/* The user id ("" when the claim is absent), and a look at every top-level null. */
static enum wh_err read_user(struct wh_slice payload,
                             const char *user_claim,
                             struct wh_arena *arena,
                             struct wh_slice *out_user)
{
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, payload);
    struct wh_slice user = WH_SLICE_LITERAL("");
    enum wh_err err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (!err) {
        struct wh_slice key;
        err = wh_json_next_member(&reader, arena, &key);
        if (!err)
            err = read_member(&reader, user_claim, key, arena, &user);
    }
    if (err != WH_EEND)
        return err;
    err = wh_json_finish(&reader);
    if (!err)
        *out_user = user;
    return err;
}

/* Seconds of a NumericDate (RFC 7519 §2): whole, from 0 to the year 9999.  Absent leaves `out`. */
static enum wh_err read_time(struct wh_slice raw, int64_t *out_s)
{
    if (!raw.ptr)
        return WH_OK;
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, raw);
    int64_t seconds;
    enum wh_err err = wh_json_read_i64(&reader, &seconds);
    if (err)
        return err;
    if (seconds < 0 || seconds > TOKEN_TIME_MAX_S)
        return WH_EFORMAT;
    *out_s = seconds;
    return WH_OK;
}

/* `b64` wins over `raw`; bytes are opaque, JSON is JSON. */
static enum wh_err read_payload(struct wh_slice raw,
                                struct wh_slice b64,
                                struct wh_arena *arena,
                                struct wh_payload *out)
{
    if (b64.len > 0) {
        out->kind = WH_PAYLOAD_BYTES;
        return wh_base64_decode(WH_BASE64_STANDARD, b64, arena, &out->bytes);
    }
    if (raw.ptr && !wh_slice_equal_str(raw, "null"))
        *out = (struct wh_payload){WH_PAYLOAD_JSON, raw};
    return WH_OK;
}

static struct token_override to_override(const struct raw_bool *raw)
{
    return (struct token_override){.is_set = raw != NULL, .value = raw && raw->value};
}

static struct token_overrides to_overrides(const struct raw_overrides *raw)
{
    if (!raw)
        return (struct token_overrides){0};
    return (struct token_overrides){
        .presence = to_override(raw->presence),
        .join_leave = to_override(raw->join_leave),
        .force_push_join_leave = to_override(raw->force_push_join_leave),
        .force_positioning = to_override(raw->force_positioning),
        .force_recovery = to_override(raw->force_recovery),
    };
}

/* ---- server-side subscriptions ---- */

/* The place of `channel` in the list: its old one, so that of duplicates the last wins, or a new.
 */
static struct token_subscription *place_for(struct token_claims *claims, struct wh_slice channel)
{
    size_t at = 0;
    while (at < claims->subs.count && !wh_slice_equal(claims->subs.items[at].channel, channel))
        at++;
    if (at == claims->subs.count)
        claims->subs.count++;
    claims->subs.items[at] = (struct token_subscription){.channel = channel};
    return &claims->subs.items[at];
}

static enum wh_err fill_subscription(struct token_subscription *sub,
                                     const struct raw_subscription *raw,
                                     struct wh_arena *arena)
{
    sub->override = to_overrides(raw->override);
    enum wh_err err = read_payload(raw->info, raw->b64info, arena, &sub->info);
    return err ? err : read_payload(raw->data, raw->b64data, arena, &sub->data);
}

/* `subs` when there are any, else `channels`; an empty name is no channel. */
static enum wh_err fill_subscriptions(const struct raw_claims *raw,
                                      struct wh_arena *arena,
                                      struct token_claims *claims)
{
    bool has_subs = raw->subs.count > 0;
    size_t count = has_subs ? raw->subs.count : raw->channels.count;
    if (count == 0)
        return WH_OK;
    claims->subs.items = wh_arena_alloc_array(arena, count, sizeof(*claims->subs.items));
    if (!claims->subs.items)
        return WH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct wh_slice channel = has_subs ? raw->subs.keys[i] : raw->channels.items[i];
        if (channel.len == 0)
            return WH_EFORMAT;
        struct token_subscription *sub = place_for(claims, channel);
        enum wh_err err = has_subs ? fill_subscription(sub, &raw->subs.values[i], arena) : WH_OK;
        if (err)
            return err;
    }
    return WH_OK;
}

/* ---- issuer and audience ---- */

static bool matches(const regex_t *regex, struct wh_slice text, struct wh_arena *arena)
{
    struct wh_slice copy = wh_arena_copy(arena, text);
    if (!copy.ptr || memchr(copy.ptr, '\0', copy.len))
        return false;
    return regexec(regex, copy.ptr, 0, NULL, 0) == 0;
}

static bool is_audience(const struct token_rules *rules,
                        struct wh_slice text,
                        struct wh_arena *arena)
{
    if (rules->audience)
        return wh_slice_equal_str(text, rules->audience);
    return !rules->has_audience_regex || matches(&rules->audience_regex, text, arena);
}

static enum wh_err read_audience(const struct token_rules *rules,
                                 struct wh_json_reader *reader,
                                 struct wh_arena *arena,
                                 bool *out_found)
{
    struct wh_slice text;
    enum wh_err err = wh_json_read_string(reader, arena, &text);
    if (!err)
        *out_found = *out_found || is_audience(rules, text, arena);
    return err;
}

/*
 * `aud` is a string or an array of strings (RFC 7519 §4.1.3), of which one must be ours.  Its type
 * is checked even when no audience is configured.
 */
static enum wh_err check_audience(const struct token_rules *rules,
                                  struct wh_slice raw,
                                  struct wh_arena *arena,
                                  bool *out_found)
{
    *out_found = !rules->audience && !rules->has_audience_regex;
    if (!raw.ptr)
        return WH_OK;
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, raw);
    enum wh_json_type type;
    enum wh_err err = wh_json_peek(&reader, &type);
    if (err || type != WH_JSON_ARRAY)
        return err ? err : read_audience(rules, &reader, arena, out_found);
    err = wh_json_enter(&reader, WH_JSON_ARRAY);
    while (!err) {
        err = wh_json_next_item(&reader);
        if (!err)
            err = read_audience(rules, &reader, arena, out_found);
    }
    return err == WH_EEND ? WH_OK : err;
}

static bool is_issuer(const struct token_rules *rules,
                      struct wh_slice issuer,
                      struct wh_arena *arena)
{
    if (!rules->issuer && !rules->has_issuer_regex)
        return true;
    if (!issuer.ptr)
        return false;
    if (rules->issuer)
        return wh_slice_equal_str(issuer, rules->issuer);
    return matches(&rules->issuer_regex, issuer, arena);
}

/* ---- roles ---- */

/* In place: the role that only the hub gives is taken out of what the token claims. */
static enum wh_err read_roles(struct wh_strings raw, struct wh_strings *out)
{
    struct wh_strings roles = {.items = raw.items};
    if (raw.count > TOKEN_ROLES_MAX)
        return WH_EFORMAT;
    for (size_t i = 0; i < raw.count; i++) {
        struct wh_slice role = raw.items[i];
        if (role.len == 0 || role.len > TOKEN_ROLE_BYTES_MAX)
            return WH_EFORMAT;
        if (!wh_slice_equal_str(role, TOKEN_ROLE_INTERNAL))
            roles.items[roles.count++] = role;
    }
    *out = roles;
    return WH_OK;
}

/* ---- all together ---- */

/* A connection token names no channel, a subscription token exactly one. */
static bool is_of_kind(const struct raw_claims *raw, enum token_kind kind)
{
    return kind == TOKEN_CONNECTION ? raw->channel.ptr == NULL : raw->channel.len > 0;
}

static enum wh_err fill(const struct raw_claims *raw,
                        enum token_kind kind,
                        struct wh_arena *arena,
                        struct token_claims *claims)
{
    enum wh_err err = read_time(raw->exp, &claims->exp);
    claims->expire_at = claims->exp;
    if (!err)
        err = read_time(raw->expire_at, &claims->expire_at);
    if (!err)
        err = read_time(raw->iat, &claims->iat);
    if (!err)
        err = read_payload(raw->info, raw->b64info, arena, &claims->info);
    if (!err)
        err = read_payload(raw->meta, WH_SLICE_ABSENT, arena, &claims->meta);
    claims->jti = raw->jti;
    if (!err && kind == TOKEN_CONNECTION)
        err = read_roles(raw->roles, &claims->roles);
    if (err || kind == TOKEN_CONNECTION)
        return err ? err : fill_subscriptions(raw, arena, claims);
    claims->channel = raw->channel;
    claims->client = raw->client;
    claims->override = to_overrides(raw->override);
    return read_payload(raw->data, raw->b64data, arena, &claims->data);
}

/* A present `exp` of 0 is long past; only an absent one means "does not expire". */
static bool is_in_time(const struct raw_claims *raw, int64_t exp, int64_t nbf, int64_t now_s)
{
    return !(raw->exp.ptr && now_s >= exp) && now_s >= nbf;
}

static enum wh_err read_claims(const struct token_rules *rules,
                               enum token_kind kind,
                               struct wh_slice payload,
                               struct wh_arena *arena,
                               struct raw_claims *raw,
                               struct token_claims *claims)
{
    enum wh_err err = put_on_one_line(&payload, arena);
    if (!err)
        err = decode_raw(payload, arena, raw);
    if (!err)
        err = read_user(payload, rules->user_claim, arena, &claims->user);
    if (!err)
        err = is_of_kind(raw, kind) ? fill(raw, kind, arena, claims) : WH_EFORMAT;
    return err;
}

enum wh_err token_claims_decode(const struct token_rules *rules,
                                enum token_kind kind,
                                struct wh_slice payload,
                                int64_t now_s,
                                struct wh_arena *arena,
                                struct token_claims *out_claims,
                                const char **out_reason)
{
    struct raw_claims raw = {0};
    struct token_claims claims = {0};
    int64_t nbf = INT64_MIN;
    bool is_for_us = false;
    *out_reason = reason_claims;
    enum wh_err err = read_claims(rules, kind, payload, arena, &raw, &claims);
    if (!err)
        err = read_time(raw.nbf, &nbf);
    if (!err)
        err = check_audience(rules, raw.aud, arena, &is_for_us);
    if (err)
        return WH_EDENIED;
    if (!is_for_us || !is_issuer(rules, raw.iss, arena)) {
        *out_reason = is_for_us ? "issuer" : "audience";
        return WH_EDENIED;
    }
    *out_claims = claims;
    if (!is_in_time(&raw, claims.exp, nbf, now_s)) {
        *out_reason = "expired";
        return WH_EEXPIRED;
    }
    return WH_OK;
}
