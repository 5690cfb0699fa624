/*
 * gen-token and check-token: with token_key the only files of wh that see
 * libjwt and OpenSSL.  Claims and times are read by our own strict reader;
 * libjwt only signs, and says whether a signature is right.
 */
#include "client-sdk/cli/commands.h"
#include "client-sdk/cli/token_claims.h"
#include "client-sdk/cli/token_key.h"
#include "common/base/clock.h"
#include "common/base/option.h"
#include "common/protocol/json.h"

#include <jwt.h>
#include <openssl/err.h>

#include <stdio.h>
#include <stdlib.h>

enum { TOKEN_BYTES_MAX = 64 * 1024 };

/* ---- gen-token ---- */

static bool sign(const struct token_key *key,
                 const char *algorithm,
                 const char *claims,
                 struct wh_buf *out)
{
    jwt_t *jwt = NULL;
    char *token = NULL;
    if (jwt_new(&jwt) != 0)
        return false;
    if (jwt_add_grants_json(jwt, claims) == 0 &&
        jwt_set_alg(jwt, jwt_str_alg(algorithm), (const unsigned char *)key->text.ptr,
                    (int)key->text.len) == 0)
        token = jwt_encode_str(jwt);
    if (token)
        wh_buf_append_str(out, token);
    bool is_signed = token != NULL;
    free(token);
    jwt_free(jwt);
    ERR_clear_error();
    return is_signed;
}

/* NULL with a sentence told. */
static const char *choose_algorithm(struct app *app, const struct token_key *key)
{
    static const char *const defaults[] = {[TOKEN_SECRET] = "HS256", [TOKEN_RSA] = "RS256"};
    const char *wanted = app->settings.algorithm;
    if (!wanted)
        return key->family == TOKEN_EC ? key->curve_algorithm : defaults[key->family];
    if (token_key_suits(key, wanted))
        return wanted;
    app_usage(app, "--alg %s is not an algorithm of this key", wanted);
    return NULL;
}

static bool claims_are_good(struct app *app)
{
    const struct settings *settings = &app->settings;
    if (settings->info && !wh_json_is_valid(wh_slice_from_str(settings->info)))
        return !app_usage(app, "--info is no JSON: %s", settings->info);
    for (size_t i = 0; i < settings->claims.count; i++) {
        const char *equals = strchr(settings->claims.items[i], '=');
        if (!equals || equals == settings->claims.items[i])
            return !app_usage(app, "--claim takes NAME=VALUE, not \"%s\"",
                              settings->claims.items[i]);
    }
    return true;
}

int run_gen_token(struct app *app, int argc, char **argv)
{
    struct token_key key;
    struct wh_buf claims = {0}, token = {0};
    (void)argc;
    (void)argv;
    if (!app->settings.secret_file && !app->settings.key_file)
        return app_usage(app, "a key is needed to sign with: --secret-file or --key");
    if (!claims_are_good(app) || token_key_load(app, true, &key))
        return CLI_USAGE;
    const char *algorithm = choose_algorithm(app, &key);
    if (!algorithm)
        return CLI_USAGE;
    token_claims_write(&app->settings, wh_clock_wall_s(), &claims);
    bool is_signed = sign(&key, algorithm, wh_buf_cstr(&claims), &token);
    int status = is_signed ? CLI_OK : app_complain(app, CLI_ERROR, "cannot sign with this key");
    if (is_signed && app->out.json) {
        struct wh_buf *line = output_object(&app->out, "token");
        output_text(line, "token", wh_buf_cstr(&token));
        output_text(line, "algorithm", algorithm);
        wh_buf_append_str(line, ",\"claims\":");
        wh_buf_append_slice(line, wh_buf_slice(&claims));
        output_object_end(&app->out, OUTPUT_DATA);
    } else if (is_signed) {
        printf("%s\n", wh_buf_cstr(&token));
    }
    wh_buf_deinit(&claims);
    wh_buf_deinit(&token);
    return status;
}

/* ---- check-token ---- */

struct verdict {
    int status;
    const char *word; /* stable: valid, expired, not_yet_valid, wrong_signature, wrong_key, … */
    const char *text;
};

static const struct verdict valid = {CLI_OK, "valid", "valid: the signature is of this key"};
static const struct verdict unverified = {
    CLI_ERROR, "unverified", "unverified: the signature was not checked (--secret-file, --key)"};
static const struct verdict expired = {CLI_UNAUTHORIZED, "expired", "not valid: it has expired"};
static const struct verdict too_early = {CLI_UNAUTHORIZED, "not_yet_valid",
                                         "not valid: its time has not come (nbf)"};
static const struct verdict wrong_key = {CLI_UNAUTHORIZED, "wrong_key",
                                         "not valid: its algorithm is not one of this key"};
static const struct verdict wrong_signature = {CLI_UNAUTHORIZED, "wrong_signature",
                                               "not valid: the signature is not of this key"};
static const struct verdict wrong_claims = {CLI_UNAUTHORIZED, "wrong_claims",
                                            "not valid: a time in it is no number"};

static bool signature_is_right(const struct token_key *key, const char *token)
{
    jwt_t *jwt = NULL;
    int failed = jwt_decode(&jwt, token, (const unsigned char *)key->text.ptr, (int)key->text.len);
    jwt_free(jwt);
    ERR_clear_error();
    return failed == 0;
}

/* The key first: what is said of a forged token's times is worth nothing. */
static struct verdict judge(const struct token_key *key,
                            const char *token,
                            const struct token_parts *parts,
                            const struct token_times *times)
{
    int64_t now_s = wh_clock_wall_s();
    char algorithm[16];
    if (key) {
        snprintf(algorithm, sizeof(algorithm), "%.*s", WH_SLICE_ARGS(parts->algorithm));
        if (parts->algorithm.len >= sizeof(algorithm) || !token_key_suits(key, algorithm))
            return wrong_key;
        if (!signature_is_right(key, token))
            return wrong_signature;
    }
    if (!times)
        return wrong_claims;
    if (times->expires_s != 0 && times->expires_s <= now_s)
        return expired;
    if (times->not_before_s > now_s)
        return too_early;
    return key ? valid : unverified;
}

static void write_time(struct wh_buf *line, const char *name, int64_t time_s)
{
    int64_t left = time_s - wh_clock_wall_s();
    if (time_s == 0)
        return;
    wh_buf_printf(line, "%-10s", name);
    output_utc(line, time_s * 1000);
    wh_buf_append_str(line, left < 0 ? " (" : " (in ");
    wh_duration_write((uint64_t)(left < 0 ? -left : left) * 1000, line);
    wh_buf_append_str(line, left < 0 ? " ago)\n" : ")\n");
}

static void tell(struct app *app,
                 const struct token_parts *parts,
                 const struct token_times *times,
                 struct verdict verdict)
{
    const char *kind = times && times->is_subscription ? "subscription" : "connection";
    if (app->out.json) {
        struct wh_buf *line = output_object(&app->out, "token");
        output_text(line, "kind", kind);
        wh_buf_append_str(line, ",\"header\":");
        wh_json_write_raw(line, parts->header);
        wh_buf_append_str(line, ",\"claims\":");
        wh_json_write_raw(line, parts->payload);
        output_text(line, "verdict", verdict.word);
        output_object_end(&app->out, OUTPUT_DATA);
        return;
    }
    struct wh_buf text = {0};
    wh_buf_printf(&text, "%-10s%s token, ", "kind:", kind);
    output_safe(&text, parts->algorithm);
    wh_buf_append_str(&text, "\nclaims:   ");
    if (app->out.pretty)
        output_pretty(&text, parts->payload);
    else
        output_safe(&text, parts->payload);
    wh_buf_append_char(&text, '\n');
    write_time(&text, "issued:", times ? times->issued_s : 0);
    write_time(&text, "from:", times ? times->not_before_s : 0);
    write_time(&text, "until:", times ? times->expires_s : 0);
    wh_buf_printf(&text, "verdict:  %s\n", verdict.text);
    fputs(wh_buf_cstr(&text), stdout);
    wh_buf_deinit(&text);
}

static bool read_token(struct app *app, const char *argument, struct wh_slice *out)
{
    struct wh_slice text = wh_slice_from_str(argument);
    if (!argument || strcmp(argument, "-") == 0)
        if (app_read_file(app, "-", TOKEN_BYTES_MAX, &text))
            return false;
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]))
        text.len--;
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[0]))
        text = wh_slice_from(text, 1);
    *out = wh_arena_copy(&app->arena, text);
    return out->ptr != NULL;
}

int run_check_token(struct app *app, int argc, char **argv)
{
    struct wh_slice token;
    struct token_parts parts;
    struct token_times times;
    struct token_key key;
    bool has_key = app->settings.secret_file || app->settings.key_file;
    if (!read_token(app, argc > 0 ? argv[1] : NULL, &token))
        return CLI_ERROR;
    if (has_key && token_key_load(app, false, &key))
        return CLI_USAGE;
    if (token_split(token, &app->arena, &parts))
        return app_complain(app, CLI_UNAUTHORIZED,
                            "this is no JWT: three parts of base64url, the first two JSON");
    bool has_times = token_times_read(parts.payload, &app->arena, &times) == WH_OK;
    struct verdict verdict =
        judge(has_key ? &key : NULL, token.ptr, &parts, has_times ? &times : NULL);
    tell(app, &parts, has_times ? &times : NULL, verdict);
    return verdict.status;
}
