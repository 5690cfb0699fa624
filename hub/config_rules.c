/*
 * Rules that no single option can know: what must go together, what excludes
 * what, and what is probably a mistake.
 *
 * A rule about two options is reported at the one that the user wrote, and
 * keeps quiet when either of them was already refused.
 */
#include "common/io/http_client.h"
#include "hub/config_internal.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HMAC_BYTES_MIN 32

/* One group of options: "client.token." of the whole, or namespace number 2. */
struct scope {
    struct wh_config_loader *loader;
    const struct wh_option_set *set;
    const char *prefix; /* in the table */
    const char *shown;  /* for people */
};

static const struct wh_option_state *state_of(const struct scope *scope, const char *name)
{
    const char *full = wh_config_text(scope->loader, "%s%s", scope->prefix, name);
    const struct wh_option *option = wh_option_find(scope->set->table, wh_slice_from_str(full));

    WH_ASSERT(option || scope->loader->is_out_of_memory);
    return wh_option_state(scope->set, option ? option : scope->set->table->options);
}

static bool is_given(const struct scope *scope, const char *name)
{
    return state_of(scope, name)->place.origin != WH_OPTION_FROM_DEFAULT;
}

static bool is_set(const char *text)
{
    return text && *text;
}

/* `other` may be NULL: a rule about one option. */
static void report(const struct scope *scope,
                   enum wh_config_severity severity,
                   const char *name,
                   const char *other,
                   const char *text)
{
    const struct wh_option_state *state = state_of(scope, name);

    if (state->is_broken || (other && state_of(scope, other)->is_broken))
        return;
    if (other && !is_given(scope, name) && is_given(scope, other)) {
        name = other;
        state = state_of(scope, other);
    }
    const char *shown = wh_config_text(scope->loader, "%s%s", scope->shown, name);
    wh_config_problem(scope->loader, severity, state->place, shown, "%s", text);
}

static const char *duration_text(struct wh_config_loader *loader, uint64_t ms)
{
    struct wh_buf text = {0};

    wh_duration_write(ms, &text);
    const char *kept = wh_config_text(loader, "%s", wh_buf_cstr(&text));
    wh_buf_deinit(&text);
    return kept;
}

static void check_times(const struct scope *scope, const struct config *config)
{
    struct wh_config_loader *loader = scope->loader;

    if (config->client.pong_timeout_ms >= config->client.ping_interval_ms)
        report(scope, WH_CONFIG_ERROR, "client.pong_timeout", "client.ping_interval",
               wh_config_text(loader, "pong_timeout (%s) must be shorter than ping_interval (%s)",
                              duration_text(loader, config->client.pong_timeout_ms),
                              duration_text(loader, config->client.ping_interval_ms)));
    if (config->drain.delay_ms + config->drain.spread_ms >= config->shutdown.timeout_ms)
        report(
            scope, WH_CONFIG_ERROR, is_given(scope, "drain.delay") ? "drain.delay" : "drain.spread",
            "shutdown.timeout",
            wh_config_text(loader,
                           "drain.delay and drain.spread together (%s) must be shorter than "
                           "shutdown.timeout (%s)",
                           duration_text(loader, config->drain.delay_ms + config->drain.spread_ms),
                           duration_text(loader, config->shutdown.timeout_ms)));
}

static void check_regex(const struct scope *scope, const char *name, const char *pattern)
{
    regex_t regex;
    char reason[128];

    if (!is_set(pattern))
        return;
    if (strlen(pattern) > 1024) {
        report(scope, WH_CONFIG_ERROR, name, NULL, "is longer than 1024 bytes");
        return;
    }
    int status = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (status == 0) {
        regfree(&regex);
        return;
    }
    regerror(status, &regex, reason, sizeof(reason));
    report(scope, WH_CONFIG_ERROR, name, NULL,
           wh_config_text(scope->loader, "is not a regular expression: %s", reason));
}

static void check_public_key(const struct scope *scope, const char *name, const char *pem)
{
    if (!is_set(pem))
        return;
    if (strstr(pem, "PRIVATE KEY-----"))
        report(scope, WH_CONFIG_ERROR, name, NULL,
               "is a private key; the hub needs only the public one, and this one must stay with "
               "whoever signs");
    else if (!strstr(pem, "-----BEGIN "))
        report(scope, WH_CONFIG_ERROR, name, NULL, "is not PEM text (-----BEGIN PUBLIC KEY-----)");
}

static void check_hmac_secret(const struct scope *scope, const char *name, const char *secret)
{
    if (is_given(scope, name) && !is_set(secret))
        report(scope, WH_CONFIG_ERROR, name, NULL,
               "must not be empty: everybody could sign; leave it out when it is not used");
    else if (is_set(secret) && strlen(secret) < HMAC_BYTES_MIN)
        report(scope, WH_CONFIG_WARNING, name, NULL,
               wh_config_text(scope->loader, "is shorter than %d bytes and may be guessed",
                              HMAC_BYTES_MIN));
}

static bool has_key(const struct token_config *token)
{
    return is_set(token->hmac_secret_key) || is_set(token->rsa_public_key) ||
           is_set(token->ecdsa_public_key) || is_set(token->jwks_public_endpoint);
}

/* Keys that come over plain HTTP are whoever's stands on the way; on the machine itself nobody
 * does.
 */
static void check_endpoint(const struct scope *scope, const struct token_config *token)
{
    static const char name[] = "jwks_public_endpoint";
    static const char *const others[] = {"http://127.0.0.1", "http://[::1]", "http://localhost"};
    const char *url = token->jwks_public_endpoint;
    if (!is_set(url))
        return;
    if (!wh_http_url_is_valid(url)) {
        report(scope, WH_CONFIG_ERROR, name, NULL, "is no http:// or https:// URL");
        return;
    }
    bool is_private = strncmp(url, "https:", 6) == 0;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        is_private = is_private || (strncmp(url, others[i], strlen(others[i])) == 0 &&
                                    strchr(":/?", url[strlen(others[i])]));
    if (!is_private)
        report(scope, WH_CONFIG_WARNING, name, NULL,
               "is no https:// URL: whoever stands between can put in keys of their own");
    if (is_set(token->hmac_secret_key) || is_set(token->rsa_public_key) ||
        is_set(token->ecdsa_public_key))
        report(scope, WH_CONFIG_WARNING, name, NULL,
               "is set, so the other keys of this group are not used");
}

static void check_token(const struct scope *scope, const struct token_config *token)
{
    check_hmac_secret(scope, "hmac_secret_key", token->hmac_secret_key);
    check_hmac_secret(scope, "hmac_previous_secret_key", token->hmac_previous_secret_key);
    if (is_set(token->hmac_previous_secret_key) && !is_set(token->hmac_secret_key))
        report(scope, WH_CONFIG_ERROR, "hmac_previous_secret_key", "hmac_secret_key",
               "goes with hmac_secret_key, which is missing");
    check_public_key(scope, "rsa_public_key", token->rsa_public_key);
    check_public_key(scope, "ecdsa_public_key", token->ecdsa_public_key);
    check_endpoint(scope, token);
    check_regex(scope, "audience_regex", token->audience_regex);
    check_regex(scope, "issuer_regex", token->issuer_regex);
    if (is_set(token->audience) && is_set(token->audience_regex))
        report(scope, WH_CONFIG_ERROR, "audience_regex", "audience", "excludes audience");
    if (is_set(token->issuer) && is_set(token->issuer_regex))
        report(scope, WH_CONFIG_ERROR, "issuer_regex", "issuer", "excludes issuer");
}

static void check_access(const struct scope *scope, const struct config *config)
{
    struct scope token = {scope->loader, scope->set, "client.token.", "client.token."};
    struct scope sub_token = {scope->loader, scope->set, "client.subscription_token.",
                              "client.subscription_token."};

    check_token(&token, &config->client.token);
    check_token(&sub_token, &config->client.subscription_token);
    if (config->client.subscription_token.enabled && !has_key(&config->client.subscription_token))
        report(&sub_token, WH_CONFIG_ERROR, "enabled", NULL, "needs a key to verify with");
    if (!has_key(&config->client.token) && !is_given(&token, "hmac_secret_key") &&
        !config->client.insecure && !config->client.allow_anonymous_connect_without_token)
        report(&token, WH_CONFIG_WARNING, "hmac_secret_key", NULL,
               "nobody can connect: no key for tokens, and no anonymous clients");
    if (config->client.insecure && strcmp(config->http_server.address, "127.0.0.1") != 0 &&
        strcmp(config->http_server.address, "::1") != 0 &&
        strcmp(config->http_server.address, "localhost") != 0)
        report(scope, WH_CONFIG_WARNING, "client.insecure", NULL,
               "everybody who reaches http_server.address may do everything");
}

/* scheme://host[:port], where host may hold `*`; or `*` alone. */
static bool is_origin_pattern(const char *pattern)
{
    if (strcmp(pattern, "*") == 0 || strcmp(pattern, "null") == 0)
        return true;
    const char *host = strstr(pattern, "://");
    if (!host || host == pattern)
        return false;
    host += 3;
    return *host && strcspn(host, "/?# \t@") == strlen(host);
}

static void check_origins(const struct scope *scope, const struct string_list *origins)
{
    for (size_t i = 0; i < origins->count; i++) {
        if (strcmp(origins->items[i], "*") == 0)
            report(scope, WH_CONFIG_WARNING, "client.allowed_origins", NULL,
                   "\"*\" lets every page on the web connect as its visitor");
        else if (!is_origin_pattern(origins->items[i]))
            report(scope, WH_CONFIG_ERROR, "client.allowed_origins", NULL,
                   wh_config_text(scope->loader,
                                  "\"%s\" is not scheme://host[:port] without a path",
                                  origins->items[i]));
    }
}

/* A path that can be read, or PEM text.  What a secret option holds is not repeated. */
static void check_pem(const struct scope *scope, const char *name, const char *value)
{
    const struct wh_option *option = wh_option_find(scope->set->table, wh_slice_from_str(name));

    if (!is_set(value) || strstr(value, "-----BEGIN ") || access(value, R_OK) == 0)
        return;
    report(scope, WH_CONFIG_ERROR, name, NULL,
           wh_config_text(scope->loader, "%s%s%s cannot be read: %s",
                          option->flags & WH_OPTION_SECRET ? "the file" : "\"",
                          option->flags & WH_OPTION_SECRET ? "" : value,
                          option->flags & WH_OPTION_SECRET ? "" : "\"", strerror(errno)));
}

static void check_server(const struct scope *scope, const struct config *config)
{
    if (config->http_server.tls.enabled) {
        if (!is_set(config->http_server.tls.cert_pem))
            report(scope, WH_CONFIG_ERROR, "http_server.tls.enabled", "http_server.tls.cert_pem",
                   "needs http_server.tls.cert_pem");
        if (!is_set(config->http_server.tls.key_pem))
            report(scope, WH_CONFIG_ERROR, "http_server.tls.enabled", "http_server.tls.key_pem",
                   "needs http_server.tls.key_pem");
        check_pem(scope, "http_server.tls.cert_pem", config->http_server.tls.cert_pem);
        check_pem(scope, "http_server.tls.key_pem", config->http_server.tls.key_pem);
        check_pem(scope, "http_server.tls.client_ca_pem", config->http_server.tls.client_ca_pem);
    }
    if (config->http_server.internal_port &&
        config->http_server.internal_port == config->http_server.port)
        report(scope, WH_CONFIG_ERROR, "http_server.internal_port", "http_server.port",
               "http_server.port and http_server.internal_port must differ");
    if (config->websocket.handler_prefix[0] != '/' ||
        strcspn(config->websocket.handler_prefix, "?# \t\n") !=
            strlen(config->websocket.handler_prefix))
        report(scope, WH_CONFIG_ERROR, "websocket.handler_prefix", NULL,
               "must be a path that begins with /");
}

/* host:port with a port from 1 to 65535; an IPv6 host in brackets. */
static bool is_host_and_port(const char *address)
{
    const char *colon = strrchr(address, ':');

    if (!colon || colon == address || !colon[1] || strpbrk(address, "/@ "))
        return false;
    if (strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5)
        return false;
    long port = strtol(colon + 1, NULL, 10);
    if (memchr(address, ':', (size_t)(colon - address)) && !(address[0] == '[' && colon[-1] == ']'))
        return false;
    return port > 0 && port <= 65535;
}

static void check_engine(const struct scope *scope, const struct config *config)
{
    const char *address = config->engine.redis.address;

    if (config->engine.type == ENGINE_MEMORY && config->workers > 1)
        report(scope, WH_CONFIG_ERROR, "workers", "engine.type",
               "more than one worker needs engine.type redis: with memory, workers would not hear "
               "each other");
    /* The address is not repeated: people write passwords into URLs. */
    if (strncmp(address, "unix:///", 8) != 0 && !is_host_and_port(address))
        report(scope, WH_CONFIG_ERROR, "engine.redis.address", NULL,
               "is neither host:port nor unix:///path (user and password have options of their "
               "own)");
    if (is_set(config->engine.redis.sentinel_address) !=
        is_set(config->engine.redis.sentinel_master_name))
        report(scope, WH_CONFIG_ERROR, "engine.redis.sentinel_address",
               "engine.redis.sentinel_master_name",
               "sentinel_address and sentinel_master_name go together");
    if (is_set(config->engine.redis.user) && !is_set(config->engine.redis.password))
        report(scope, WH_CONFIG_ERROR, "engine.redis.user", "engine.redis.password",
               "needs engine.redis.password");
}

static void check_history(const struct scope *scope,
                          const struct channel_options *options,
                          uint64_t default_meta_ttl_ms)
{
    uint64_t meta_ttl_ms =
        options->history_meta_ttl_ms ? options->history_meta_ttl_ms : default_meta_ttl_ms;

    if ((options->history_size > 0) != (options->history_ttl_ms > 0))
        report(scope, WH_CONFIG_ERROR, options->history_size > 0 ? "history_size" : "history_ttl",
               options->history_size > 0 ? "history_ttl" : "history_size",
               "history_size and history_ttl go together");
    if (options->history_ttl_ms % 1000 != 0)
        report(scope, WH_CONFIG_ERROR, "history_ttl", NULL, "must be whole seconds");
    if (options->history_meta_ttl_ms % 1000 != 0)
        report(scope, WH_CONFIG_ERROR, "history_meta_ttl", NULL, "must be whole seconds");
    if (options->history_ttl_ms > meta_ttl_ms)
        report(scope, WH_CONFIG_ERROR, "history_ttl", "history_meta_ttl",
               wh_config_text(scope->loader,
                              "history_ttl (%s) must not be longer than history_meta_ttl (%s)",
                              duration_text(scope->loader, options->history_ttl_ms),
                              duration_text(scope->loader, meta_ttl_ms)));
}

static void check_channel(const struct scope *scope,
                          const struct channel_options *options,
                          uint64_t default_meta_ttl_ms)
{
    check_history(scope, options, default_meta_ttl_ms);
    if (options->force_recovery && options->history_size == 0)
        report(scope, WH_CONFIG_ERROR, "force_recovery", "history_size",
               "recovery needs history_size");
    if (options->auto_cache_recover &&
        !(options->force_recovery && options->force_recovery_mode == RECOVERY_CACHE))
        report(scope, WH_CONFIG_ERROR, "auto_cache_recover", "force_recovery_mode",
               "auto_cache_recover needs force_recovery and force_recovery_mode cache");
    check_regex(scope, "channel_regex", options->channel_regex);
    for (size_t i = 0; i < options->allowed_delta_types.count; i++) {
        if (strcmp(options->allowed_delta_types.items[i], "fossil") != 0)
            report(scope, WH_CONFIG_ERROR, "allowed_delta_types", NULL,
                   wh_config_text(scope->loader, "\"%s\" is none of fossil",
                                  options->allowed_delta_types.items[i]));
    }
}

static bool is_namespace_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

    return len >= 2 && name[len] == '\0';
}

/* Where the first option of a namespace stands; where the list does when it has none. */
static struct wh_option_place place_of_namespace(const struct scope *scope)
{
    const struct wh_option_set *whole = &scope->loader->set;

    for (size_t i = 0; i < scope->set->table->count; i++) {
        if (scope->set->states[i].place.origin != WH_OPTION_FROM_DEFAULT)
            return scope->set->states[i].place;
    }
    return wh_option_state(whole,
                           wh_option_find(whole->table, WH_SLICE_LITERAL("channel.namespaces")))
        ->place;
}

static void check_namespace(const struct scope *scope, const struct config *config, size_t index)
{
    const struct namespace_config *namespaces = config->channel.namespaces.items;
    const char *name = namespaces[index].name;

    check_channel(scope, &namespaces[index].options, config->channel.history_meta_ttl_ms);
    if (state_of(scope, "name")->is_broken)
        return;
    if (!is_given(scope, "name")) {
        wh_config_problem(scope->loader, WH_CONFIG_ERROR, place_of_namespace(scope),
                          wh_config_text(scope->loader, "%sname", scope->shown), "is missing");
        return;
    }
    if (name && !is_namespace_name(name))
        report(scope, WH_CONFIG_ERROR, "name", NULL,
               wh_config_text(
                   scope->loader,
                   "\"%.60s\" is no name for a namespace (two or more of a-z A-Z 0-9 - _ .)",
                   name));
    for (size_t i = 0; i < index && name; i++) {
        if (namespaces[i].name && strcmp(namespaces[i].name, name) == 0) {
            report(scope, WH_CONFIG_ERROR, "name", NULL,
                   wh_config_text(scope->loader,
                                  "\"%.60s\" is also the name of channel.namespaces[%zu]", name,
                                  i));
            return;
        }
    }
}

static bool has_namespace(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->channel.namespaces.count; i++) {
        const char *known = config->channel.namespaces.items[i].name;
        if (known && strcmp(known, name) == 0)
            return true;
    }
    return false;
}

static void check_channels(const struct scope *scope, const struct config *config)
{
    struct wh_config_loader *loader = scope->loader;
    struct scope plain = {loader, scope->set, "channel.without_namespace.",
                          "channel.without_namespace."};
    const struct wh_option_state *list = state_of(scope, "channel.namespaces");
    const char *personal =
        config->client.subscribe_to_user_personal_channel.personal_channel_namespace;

    check_channel(&plain, &config->channel.without_namespace, config->channel.history_meta_ttl_ms);
    for (size_t i = 0; i < config->channel.namespaces.count && !loader->is_out_of_memory; i++) {
        const char *shown = wh_config_text(loader, "channel.namespaces[%zu].", i);
        struct scope one = {loader, &list->objects[i], "", shown};
        check_namespace(&one, config, i);
    }
    if (is_set(personal) && !has_namespace(config, personal))
        report(scope, WH_CONFIG_ERROR,
               "client.subscribe_to_user_personal_channel.personal_channel_namespace",
               "channel.namespaces",
               wh_config_text(loader, "\"%.60s\" is no namespace in channel.namespaces", personal));
}

/* With equal marks a name could be read in two ways. */
static void check_boundaries(const struct scope *scope, const struct config *config)
{
    const struct {
        const char *name;
        const char *text;
    } marks[] = {
        {"channel.private_prefix", config->channel.private_prefix},
        {"channel.namespace_boundary", config->channel.namespace_boundary},
        {"channel.user_boundary", config->channel.user_boundary},
        {"channel.user_separator", config->channel.user_separator},
    };

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        for (size_t j = 0; j < i; j++) {
            if (is_set(marks[i].text) && strcmp(marks[i].text, marks[j].text) == 0)
                report(scope, WH_CONFIG_ERROR, marks[i].name, marks[j].name,
                       wh_config_text(scope->loader, "%s and %s must differ", marks[j].name,
                                      marks[i].name));
        }
    }
}

static void check_opentelemetry(const struct scope *scope, const struct config *config)
{
    const char *name;
    const char *problem = wh_otlp_config_check(&config->opentelemetry.exporter, &name);
    if (problem)
        report(scope, WH_CONFIG_ERROR, name, NULL, problem);
}

void config_check_rules(struct wh_config_loader *loader)
{
    const struct config *config = loader->set.target;
    struct scope whole = {loader, &loader->set, "", ""};

    if (loader->is_out_of_memory || loader->is_unread)
        return;
    check_times(&whole, config);
    check_access(&whole, config);
    check_origins(&whole, &config->client.allowed_origins);
    check_server(&whole, config);
    check_engine(&whole, config);
    check_boundaries(&whole, config);
    check_channels(&whole, config);
    config_check_rpc(loader);
    check_opentelemetry(&whole, config);
}
