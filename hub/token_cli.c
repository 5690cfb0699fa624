/*
 * The verbs gen-token, gen-sub-token and check-token: what a developer needs before the first
 * backend issues tokens.  Keys come from the configuration or from a file, never from argv, where
 * every user of the machine could read them.
 *
 * Claims are written as JSON text and signed by token_sign; what is checked goes through the same
 * verifier as a client's token, so a verdict here is the hub's verdict.
 */
#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/protocol/json.h"
#include "hub/auth.h"
#include "hub/token_key.h"

#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_VALID = 0,
    EXIT_INVALID = 1,
    EXIT_USAGE = 2,
    TTL_DEFAULT_S = 3600,
    TTL_MAX_S = 365 * 86400,
    FILE_BYTES_MAX = 64 * 1024,
    CLAIMS_MAX = 64,
};

static const char generate_help[] =
    "Usage: wirehub gen-token [-c FILE] [--user ID] [--ttl 1h] ...\n"
    "\n"
    "Print a connection token: a JWT that a client sends when it connects.\n"
    "\n"
    "  wirehub gen-token -c wirehub.yaml --user 42 --info '{\"name\":\"Ann\"}'\n"
    "\n"
    "      --user ID           the user; without it the client is anonymous\n"
    "      --ttl TIME          how long it is good: 90s, 15m, 1h (default), 7d; 0 = for ever\n"
    "      --info JSON         what other clients see of this one, in presence and joins\n"
    "      --channel NAME      subscribe the client on the server side; may be repeated\n"
    "      --claim NAME=VALUE  any other claim; VALUE is JSON if it reads as JSON, else a string\n";

static const char generate_sub_help[] =
    "Usage: wirehub gen-sub-token [-c FILE] --channel NAME [--user ID] [--ttl 1h] ...\n"
    "\n"
    "Print a subscription token: a JWT that lets one user into one channel.\n"
    "\n"
    "  wirehub gen-sub-token -c wirehub.yaml --user 42 --channel '$orders:42'\n"
    "\n"
    "      --channel NAME      the channel, needed\n"
    "      --user ID           the user, the same as in the connection token; without it "
    "anonymous\n"
    "      --ttl TIME          how long it is good: 90s, 15m, 1h (default), 7d; 0 = for ever\n"
    "      --info JSON         what other subscribers see of this one\n"
    "      --claim NAME=VALUE  any other claim; VALUE is JSON if it reads as JSON, else a string\n";

static const char generate_key_help[] =
    "\n"
    "The key is client.token.hmac_secret_key of the configuration (for subscription tokens that "
    "of\n"
    "client.subscription_token when it is enabled), or\n"
    "\n"
    "  -c, --config FILE       the configuration; WIREHUB_... variables count as always\n"
    "      --secret-file FILE  a shared secret; a line feed at its end is not part of it\n"
    "      --key-file FILE     a private RSA or EC key in PEM, for RS... and ES...\n"
    "      --alg NAME          HS256, HS384, HS512, RS256, RS384, RS512; an EC key knows its own\n"
    "  -h, --help              this text\n";

static const char check_help[] =
    "Usage: wirehub check-token [-c FILE] [TOKEN]\n"
    "\n"
    "Say what a token is and whether the hub would take it now.  Without TOKEN it is read from\n"
    "standard input, where it stays out of the process list:\n"
    "\n"
    "  wirehub gen-token -c wirehub.yaml --user 42 | wirehub check-token -c wirehub.yaml\n"
    "\n"
    "  -c, --config FILE       the configuration that has the keys; WIREHUB_... count as always\n"
    "      --secret-file FILE  check with this shared secret instead\n"
    "      --key-file FILE     check with this public RSA or EC key (PEM) instead\n"
    "  -h, --help              this text\n"
    "\n"
    "Exit status: 0 valid, 1 not valid, 2 could not be checked.\n";

struct options {
    const char *verb;
    const char *config_path, *secret_file, *key_file, *alg;
    const char *user, *info;
    int64_t ttl_s;
    const char *channels[CLAIMS_MAX], *claims[CLAIMS_MAX];
    size_t channel_count, claim_count;
    bool help;
};

static int complain(const struct options *options, const char *text, const char *what)
{
    fprintf(stderr, "wirehub %s: %s%s%s\n", options->verb, text, what ? ": " : "",
            what ? what : "");
    fprintf(stderr, "Try: wirehub %s --help\n", options->verb);
    return EXIT_USAGE;
}

/* ---- the command line ---- */

/* "90s", "15m", "1h", "7d", or seconds. */
static bool parse_ttl(const char *text, int64_t *out_s)
{
    static const struct {
        const char *unit;
        int64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end = NULL;
    if (*text < '0' || *text > '9')
        return false;
    long long count = strtoll(text, &end, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) != 0)
            continue;
        if (count > TTL_MAX_S / units[i].seconds)
            return false;
        *out_s = count * units[i].seconds;
        return true;
    }
    return false;
}

static bool keep(const char **list, size_t *count, const char *text)
{
    if (*count == CLAIMS_MAX)
        return false;
    list[(*count)++] = text;
    return true;
}

enum {
    OPTION_USER = 256,
    OPTION_TTL,
    OPTION_INFO,
    OPTION_CHANNEL,
    OPTION_CLAIM,
    OPTION_ALG,
    OPTION_SECRET_FILE,
    OPTION_KEY_FILE
};

/* false when the value is no good, which has been told. */
static bool take_option(struct options *options, int option, const char *value)
{
    switch (option) {
    case 'c':
        options->config_path = value;
        return true;
    case 'h':
        options->help = true;
        return true;
    case OPTION_USER:
        options->user = value;
        return true;
    case OPTION_INFO:
        options->info = value;
        return wh_json_is_valid(wh_slice_from_str(value)) ||
               !complain(options, "--info is not JSON", value);
    case OPTION_TTL:
        return parse_ttl(value, &options->ttl_s) ||
               !complain(options, "--ttl takes 90s, 15m, 1h, 7d (at most 365d) or 0", value);
    case OPTION_CHANNEL:
        return keep(options->channels, &options->channel_count, value) ||
               !complain(options, "too many channels", NULL);
    case OPTION_CLAIM:
        if (!strchr(value, '='))
            return !complain(options, "--claim takes NAME=VALUE", value);
        return keep(options->claims, &options->claim_count, value) ||
               !complain(options, "too many claims", NULL);
    case OPTION_ALG:
        options->alg = value;
        return true;
    case OPTION_SECRET_FILE:
        options->secret_file = value;
        return true;
    case OPTION_KEY_FILE:
        options->key_file = value;
        return true;
    default:
        fprintf(stderr, "Try: wirehub %s --help\n", options->verb);
        return false;
    }
}

static const struct option generate_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"help", no_argument, NULL, 'h'},
    {"user", required_argument, NULL, OPTION_USER},
    {"ttl", required_argument, NULL, OPTION_TTL},
    {"info", required_argument, NULL, OPTION_INFO},
    {"channel", required_argument, NULL, OPTION_CHANNEL},
    {"claim", required_argument, NULL, OPTION_CLAIM},
    {"alg", required_argument, NULL, OPTION_ALG},
    {"secret-file", required_argument, NULL, OPTION_SECRET_FILE},
    {"key-file", required_argument, NULL, OPTION_KEY_FILE},
    {0},
};

static const struct option check_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"help", no_argument, NULL, 'h'},
    {"secret-file", required_argument, NULL, OPTION_SECRET_FILE},
    {"key-file", required_argument, NULL, OPTION_KEY_FILE},
    {0},
};

/* Fill `options`; argv[optind] is then the first argument. */
static bool parse_options(int argc,
                          char **argv,
                          const struct option *table,
                          struct options *options)
{
    *options = (struct options){.verb = argv[0], .ttl_s = TTL_DEFAULT_S};
    optind = 0; /* getopt keeps state; 0 makes glibc start over */
    int option;
    while ((option = getopt_long(argc, argv, "c:h", table, NULL)) != -1)
        if (!take_option(options, option, optarg))
            return false;
    if (options->secret_file && options->key_file)
        return !complain(options, "--secret-file and --key-file exclude each other", NULL);
    return true;
}

/* ---- files and configuration ---- */

/* The text of `path` in `out`, NUL-terminated and without a line feed at its end. */
static bool read_file(const struct options *options, const char *path, struct wh_buf *out)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        complain(options, path, "cannot be opened");
        return false;
    }
    char *room = wh_buf_reserve(out, FILE_BYTES_MAX);
    size_t len = room ? fread(room, 1, FILE_BYTES_MAX, file) : 0;
    bool is_whole = room && !ferror(file) && len < FILE_BYTES_MAX;
    fclose(file);
    while (is_whole && len > 0 && (room[len - 1] == '\n' || room[len - 1] == '\r'))
        len--;
    if (!is_whole || len == 0 || memchr(room, '\0', len)) {
        complain(options, path, "is empty, too long, unreadable or has a zero byte in it");
        return false;
    }
    wh_buf_commit(out, len);
    return *wh_buf_cstr(out) != '\0';
}

static struct config *load_config(const struct options *options)
{
    struct config *config = NULL;
    struct wh_buf problems = {0};
    struct wh_config_source source = {.path = options->config_path, .environ = environ};
    enum wh_err err = config_load(&source, &config, &problems);
    if (err)
        fprintf(stderr, "%swirehub %s: the configuration has errors\n", wh_buf_cstr(&problems),
                options->verb);
    wh_buf_deinit(&problems);
    return err ? NULL : config;
}

/* Which keys count for tokens of `kind`. */
static const struct token_config *token_options(const struct config *config, enum token_kind kind)
{
    bool has_own = kind == TOKEN_SUBSCRIPTION && config->client.subscription_token.enabled;
    return has_own ? &config->client.subscription_token : &config->client.token;
}

/* ---- generating ---- */

static void write_member(struct wh_buf *json, struct wh_slice name)
{
    if (json->len > 1)
        wh_buf_append_char(json, ',');
    wh_json_write_string(json, name);
    wh_buf_append_char(json, ':');
}

static void write_string_member(struct wh_buf *json, const char *name, const char *value)
{
    write_member(json, wh_slice_from_str(name));
    wh_json_write_string(json, wh_slice_from_str(value));
}

static void write_time_member(struct wh_buf *json, const char *name, int64_t seconds)
{
    write_member(json, wh_slice_from_str(name));
    wh_buf_append_i64(json, seconds);
}

static void write_channels(struct wh_buf *json, const struct options *options)
{
    write_member(json, WH_SLICE_LITERAL("channels"));
    for (size_t i = 0; i < options->channel_count; i++) {
        wh_buf_append_char(json, i == 0 ? '[' : ',');
        wh_json_write_string(json, wh_slice_from_str(options->channels[i]));
    }
    wh_buf_append_char(json, ']');
}

/* NAME=VALUE. */
static void write_claim(struct wh_buf *json, const char *claim)
{
    const char *equals = strchr(claim, '=');
    struct wh_slice value = wh_slice_from_str(equals + 1);
    write_member(json, wh_slice(claim, (size_t)(equals - claim)));
    if (wh_json_is_valid(value))
        wh_json_write_raw(json, value);
    else
        wh_json_write_string(json, value);
}

/* Whether --claim sets `name` itself and so replaces what an option or a default would say. */
static bool is_replaced(const struct options *options, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < options->claim_count; i++)
        if (strncmp(options->claims[i], name, len) == 0 && options->claims[i][len] == '=')
            return true;
    return false;
}

static void write_claims(struct wh_buf *json, const struct options *options, enum token_kind kind)
{
    int64_t now_s = wh_clock_wall_s();
    wh_buf_append_char(json, '{');
    if (options->user && !is_replaced(options, "sub"))
        write_string_member(json, "sub", options->user);
    if (kind == TOKEN_CONNECTION && options->channel_count > 0 && !is_replaced(options, "channels"))
        write_channels(json, options);
    if (kind == TOKEN_SUBSCRIPTION && !is_replaced(options, "channel"))
        write_string_member(json, "channel", options->channels[0]);
    if (!is_replaced(options, "iat"))
        write_time_member(json, "iat", now_s);
    if (options->ttl_s > 0 && !is_replaced(options, "exp"))
        write_time_member(json, "exp", now_s + options->ttl_s);
    if (options->info && !is_replaced(options, "info")) {
        write_member(json, WH_SLICE_LITERAL("info"));
        wh_json_write_raw(json, wh_slice_from_str(options->info));
    }
    for (size_t i = 0; i < options->claim_count; i++)
        write_claim(json, options->claims[i]);
    wh_buf_append_char(json, '}');
}

/* The key to sign with, out of a file or the configuration. */
static bool load_signing_key(const struct options *options,
                             enum token_kind kind,
                             struct token_key *key)
{
    struct wh_buf text = {0}, problem = {0};
    struct config *config = NULL;
    enum wh_err err = WH_EINVAL;
    const char *path = options->key_file ? options->key_file : options->secret_file;
    if (path && read_file(options, path, &text)) {
        err = options->key_file ? token_key_init_private(key, path, wh_buf_cstr(&text), &problem)
                                : token_key_init_secret(key, path, wh_buf_slice(&text), &problem);
    } else if (!path && (config = load_config(options))) {
        const char *secret = token_options(config, kind)->hmac_secret_key;
        if (secret && *secret)
            err =
                token_key_init_secret(key, "hmac_secret_key", wh_slice_from_str(secret), &problem);
        else
            complain(options, "the configuration has no hmac_secret_key to sign with", NULL);
    }
    fputs(wh_buf_cstr(&problem), stderr);
    config_free(config);
    wh_buf_deinit(&problem);
    wh_buf_deinit(&text);
    return err == WH_OK;
}

/* What was asked for if it suits the key, else what the key is for. */
static const char *choose_algorithm(const struct options *options, const struct token_key *key)
{
    if (!options->alg) {
        if (key->only)
            return key->only->name;
        return key->family == TOKEN_FAMILY_RSA ? "RS256" : "HS256";
    }
    const struct token_algorithm *algorithm = token_algorithm_find(wh_slice_from_str(options->alg));
    if (algorithm && token_key_suits(key, algorithm))
        return algorithm->name;
    complain(options, algorithm ? "the key is of another kind than --alg" : "--alg is not known",
             options->alg);
    return NULL;
}

static int generate_with(const struct options *options,
                         enum token_kind kind,
                         const struct token_key *key)
{
    const char *algorithm = choose_algorithm(options, key);
    if (!algorithm)
        return EXIT_USAGE;
    struct wh_buf claims = {0}, token = {0};
    write_claims(&claims, options, kind);
    enum wh_err err = wh_buf_error(&claims);
    if (!err)
        err = token_sign(algorithm, wh_slice(key->text, key->len), wh_buf_cstr(&claims), &token);
    if (!err)
        printf("%s\n", wh_buf_cstr(&token));
    int status = err ? complain(options, "cannot sign", wh_err_text(err)) : EXIT_SUCCESS;
    wh_buf_deinit(&claims);
    wh_buf_deinit(&token);
    return status;
}

static int generate(int argc, char **argv, enum token_kind kind, const char *help)
{
    struct options options;
    if (!parse_options(argc, argv, generate_options, &options))
        return EXIT_USAGE;
    if (options.help) {
        printf("%s%s", help, generate_key_help);
        return EXIT_SUCCESS;
    }
    if (optind < argc)
        return complain(&options, "unexpected argument", argv[optind]);
    if (kind == TOKEN_SUBSCRIPTION && options.channel_count != 1)
        return complain(&options, "needs exactly one --channel", NULL);
    struct token_key key = {0};
    if (!load_signing_key(&options, kind, &key))
        return EXIT_USAGE;
    int status = generate_with(&options, kind, &key);
    token_key_deinit(&key);
    return status;
}

int token_generate_main(int argc, char **argv)
{
    return generate(argc, argv, TOKEN_CONNECTION, generate_help);
}

int token_generate_subscription_main(int argc, char **argv)
{
    return generate(argc, argv, TOKEN_SUBSCRIPTION, generate_sub_help);
}

/* ---- checking ---- */

static const struct {
    const char *reason, *text;
} verdicts[] = {
    {"format", "it is not a JWT: three base64url parts, the first two JSON"},
    {"algorithm", "its algorithm is unknown here or does not fit the configured key"},
    {"no_key", "no key is configured for its algorithm, or its kid is not in the key set"},
    {"signature", "the signature is not of the configured key, or the payload is no JSON"},
    {"claims", "a claim that the hub reads has a wrong type or value"},
    {"audience", "it is meant for another audience"},
    {"issuer", "it comes from another issuer"},
    {"expired", "it has expired or is not yet valid"},
};

static int tell_invalid(const char *reason)
{
    const char *text = reason;
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
        if (strcmp(reason, verdicts[i].reason) == 0)
            text = verdicts[i].text;
    printf("verdict: not valid: %s\n", text);
    return EXIT_INVALID;
}

/* "in 59 minutes" or "3 days ago"; "1 hour" only when it is one to the second. */
static void print_distance(int64_t seconds)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    int64_t distance = seconds < 0 ? -seconds : seconds;
    size_t i = 0;
    while (i < 3 && distance < 2 * units[i].seconds && distance != units[i].seconds)
        i++;
    int64_t count = distance / units[i].seconds;
    printf("%s%" PRId64 " %s%s%s", seconds < 0 ? "" : "in ", count, units[i].name,
           count == 1 ? "" : "s", seconds < 0 ? " ago" : "");
}

static void print_time(const char *label, int64_t when_s, int64_t now_s)
{
    char text[64] = "";
    struct tm utc;
    time_t when = (time_t)when_s;
    if (gmtime_r(&when, &utc))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc);
    fputs(label, stdout);
    print_distance(when_s - now_s);
    printf(" (%s)\n", text);
}

static void print_claims(const struct token_claims *claims, int64_t now_s)
{
    if (claims->user.len > 0)
        printf("user:    %.*s\n", WH_SLICE_ARGS(claims->user));
    else
        printf("user:    anonymous\n");
    if (claims->exp > 0)
        print_time(claims->exp > now_s ? "expires: " : "expired: ", claims->exp, now_s);
    else
        printf("expires: never\n");
    if (claims->expire_at != claims->exp && claims->expire_at > 0)
        print_time("what it opens ends ", claims->expire_at, now_s);
    else if (claims->expire_at != claims->exp)
        printf("what it opens never ends\n");
}

/* A `channel` claim makes a subscription token. */
static bool names_a_channel(struct wh_slice payload, struct wh_arena *arena)
{
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, payload);
    struct wh_slice key;
    enum wh_err err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (!err) {
        err = wh_json_next_member(&reader, arena, &key);
        if (!err && wh_slice_equal_str(key, "channel"))
            return true;
        if (!err)
            err = wh_json_skip(&reader, NULL);
    }
    return false;
}

static struct token_verifier *make_verifier(const struct options *options,
                                            const struct token_config *config)
{
    struct token_verifier *verifier = NULL;
    struct wh_buf problem = {0};
    if (token_verifier_new(config, &verifier, &problem))
        fprintf(stderr, "wirehub %s: no usable key\n", options->verb);
    fputs(wh_buf_cstr(&problem), stderr);
    wh_buf_deinit(&problem);
    return verifier;
}

static int check_now(const struct token_verifier *verifier,
                     enum token_kind kind,
                     struct wh_slice token,
                     struct wh_arena *arena)
{
    struct token_signature signature;
    struct token_claims claims;
    const char *reason = "";
    int64_t now_s = wh_clock_wall_s();
    enum wh_err err = token_verify_signature(verifier, token, now_s, arena, &signature, &reason);
    if (err == WH_EUNAVAILABLE) {
        fprintf(stderr, "wirehub check-token: cannot fetch the keys: %s\n",
                token_verifier_problem(verifier));
        return EXIT_USAGE;
    }
    if (err)
        return tell_invalid(reason);
    printf("kind:    %s token\n", kind == TOKEN_CONNECTION ? "connection" : "subscription");
    printf("key:     %s (%s)\n", signature.key_name, signature.algorithm);
    printf("claims:  %.*s\n", WH_SLICE_ARGS(signature.payload));
    err = token_verify(verifier, kind, token, now_s, arena, &claims, &reason);
    if (err == WH_OK || err == WH_EEXPIRED)
        print_claims(&claims, now_s);
    if (err)
        return tell_invalid(reason);
    printf("verdict: valid\n");
    return EXIT_VALID;
}

/* One check that may have to fetch a key first. */
struct check {
    struct wh_loop loop;
    struct jwks_waiter waiter;
    struct token_verifier *verifier;
    enum token_kind kind;
    struct wh_slice token;
    struct wh_arena *arena;
    int status;
};

static void on_keys(struct jwks_waiter *waiter)
{
    struct check *check = WH_CONTAINER_OF(waiter, struct check, waiter);
    check->status = check_now(check->verifier, check->kind, check->token, check->arena);
    wh_loop_stop(&check->loop);
}

/* Frees `verifier`.  The answer is there, at the latest, when the fetch has timed out. */
static int check_as(struct token_verifier *verifier,
                    enum token_kind kind,
                    struct wh_slice token,
                    struct wh_arena *arena)
{
    static struct check check; /* the loop is large */
    struct jwks_pool *pool = NULL;
    check = (struct check){.verifier = verifier, .kind = kind, .token = token, .arena = arena};
    check.status = EXIT_USAGE;
    jwks_waiter_init(&check.waiter, on_keys);
    if (wh_loop_init(&check.loop)) {
        token_verifier_free(verifier);
        return EXIT_USAGE;
    }
    wh_log_set_level(WH_LOG_NONE); /* what is wrong is told on standard error */
    if (!jwks_pool_new(&check.loop, &jwks_default_times, &pool) &&
        !token_verifier_use_jwks(verifier, pool)) {
        if (token_verifier_wait(verifier, token, arena, &check.waiter))
            wh_loop_run(&check.loop);
        else
            check.status = check_now(verifier, kind, token, arena);
    }
    token_verifier_free(verifier);
    jwks_pool_free(pool);
    wh_loop_deinit(&check.loop);
    return check.status;
}

/* The kind that the payload claims to be; it decides which keys are asked. */
static enum token_kind guess_kind(struct wh_slice token, struct wh_arena *arena)
{
    const char *first = memchr(token.ptr, '.', token.len);
    if (!first)
        return TOKEN_CONNECTION;
    struct wh_slice payload = wh_slice_from(token, (size_t)(first - token.ptr) + 1);
    const char *second = memchr(payload.ptr, '.', payload.len);
    if (second)
        payload.len = (size_t)(second - payload.ptr);
    if (wh_base64_decode(WH_BASE64_URL, payload, arena, &payload))
        return TOKEN_CONNECTION;
    return names_a_channel(payload, arena) ? TOKEN_SUBSCRIPTION : TOKEN_CONNECTION;
}

/* A verifier with the one key of --secret-file or --key-file. */
static struct token_verifier *load_file_verifier(const struct options *options)
{
    struct wh_buf text = {0};
    struct token_config config = {0};
    struct token_verifier *verifier = NULL;
    const char *path = options->key_file ? options->key_file : options->secret_file;
    if (read_file(options, path, &text)) {
        if (options->secret_file)
            config.hmac_secret_key = text.ptr;
        else if (token_key_is_ec(text.ptr))
            config.ecdsa_public_key = text.ptr;
        else
            config.rsa_public_key = text.ptr;
        verifier = make_verifier(options, &config);
    }
    wh_buf_deinit(&text);
    return verifier;
}

static struct token_verifier *load_verifier(const struct options *options, enum token_kind kind)
{
    if (options->secret_file || options->key_file)
        return load_file_verifier(options);
    struct config *config = load_config(options);
    if (!config)
        return NULL;
    struct token_verifier *verifier = make_verifier(options, token_options(config, kind));
    config_free(config);
    return verifier;
}

/* The argument or standard input, without white space around it. */
static bool read_token(char *argument, struct wh_buf *out)
{
    if (argument) {
        wh_buf_append_str(out, argument);
    } else {
        size_t room = 2 * (size_t)TOKEN_BYTES_MAX;
        char *ptr = wh_buf_reserve(out, room);
        if (ptr)
            wh_buf_commit(out, fread(ptr, 1, room, stdin));
    }
    while (out->len > 0 && strchr(" \t\r\n", out->ptr[out->len - 1]))
        wh_buf_truncate(out, out->len - 1);
    while (out->len > 0 && strchr(" \t\r\n", out->ptr[0]))
        wh_buf_consume(out, 1);
    return wh_buf_error(out) == WH_OK;
}

static int check(const struct options *options, struct wh_slice token)
{
    struct wh_arena arena;
    wh_arena_init(&arena, 0);
    enum token_kind kind = guess_kind(token, &arena);
    struct token_verifier *verifier = load_verifier(options, kind);
    int status = verifier ? check_as(verifier, kind, token, &arena) : EXIT_USAGE;
    wh_arena_deinit(&arena);
    return status;
}

int token_check_main(int argc, char **argv)
{
    struct options options;
    if (!parse_options(argc, argv, check_options, &options))
        return EXIT_USAGE;
    if (options.help) {
        fputs(check_help, stdout);
        return EXIT_SUCCESS;
    }
    if (argc - optind > 1)
        return complain(&options, "unexpected argument", argv[optind + 1]);
    struct wh_buf token = {0};
    int status = EXIT_USAGE;
    if (!read_token(argv[optind], &token) || token.len == 0)
        complain(&options, "there is no token to check", NULL);
    else
        status = check(&options, wh_buf_slice(&token));
    wh_buf_deinit(&token);
    return status;
}
