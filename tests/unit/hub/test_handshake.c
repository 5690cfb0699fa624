/* One good request and every way to spoil it. */
#include "hub/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char prefix[] = "/connection/websocket", shop[] = "https://Shop.example",
            any_sub[] = "https://*.shop.example", local[] = "http://localhost:*",
            everything[] = "*";
static char *origins[] = {shop, any_sub, local};
static char *all_origins[] = {everything};

static struct config make_config(void)
{
    struct config config = {0};
    config.websocket.handler_prefix = prefix;
    config.client.allowed_origins.items = origins;
    config.client.allowed_origins.count = COUNT(origins);
    return config;
}

static const struct handshake good = {
    .method = "GET",
    .path = "/connection/websocket",
    .http_version = "HTTP/1.1",
    .host = "hub.example:8000",
    .upgrade = "websocket",
    .connection = "Upgrade",
    .version = "13",
    .key = "dGhlIHNhbXBsZSBub25jZQ==",
};

#define FIELD(name) offsetof(struct handshake, name), sizeof(good.name)

/* One header of the good request replaced. */
static const struct {
    size_t offset;
    size_t size;
    const char *value;
    unsigned status; /* 0 = accepted */
} cases[] = {
    {FIELD(method), "POST", 405},
    {FIELD(method), "get", 405},
    {FIELD(path), "/", 404},
    {FIELD(path), "/connection/websocket/", 404},
    {FIELD(path), "/connection/websocke", 404},
    {FIELD(http_version), "HTTP/1.0", 400},
    {FIELD(http_version), "HTTP/2", 400},
    {FIELD(http_version), "", 400},
    {FIELD(host), "", 400},
    {FIELD(upgrade), "WebSocket", 0},
    {FIELD(upgrade), "h2c", 400},
    {FIELD(upgrade), "websocket, h2c", 400},
    {FIELD(upgrade), "", 400},
    {FIELD(connection), "keep-alive, Upgrade", 0},
    {FIELD(connection), "keep-alive,upgrade", 0},
    {FIELD(connection), "keep-alive", 400},
    {FIELD(connection), "upgraded", 400},
    {FIELD(connection), "", 400},
    {FIELD(version), "8", 426},
    {FIELD(version), "", 426},
    {FIELD(version), "013", 426},
    {FIELD(key), "", 400},
    {FIELD(key), "dGhlIHNhbXBsZSBub25jZQ=", 400},
    {FIELD(key), "dGhlIHNhbXBsZSBub25jZQ===", 400},
    {FIELD(key), "dGhlIHNhbXBsZSBub25jZR==", 400}, /* bits behind the sixteenth byte */
    {FIELD(key), "dGhlIHNhbXBsZSBub25jZ===", 400},
    {FIELD(key), "dGhlIHNhbXBsZS_ub25jZQ==", 400},
    {FIELD(key), "dGhlIHNhbXBsZSBub25jZQAA", 400},
    {FIELD(protocols), "centrifuge-json", 0},
    {FIELD(protocols), "centrifuge-protobuf", 0},
    {FIELD(protocols), "centrifuge-msgpack", 0},
    {FIELD(protocols), "chat, centrifuge-json", 0},
    {FIELD(protocols), "chat", 400},
    {FIELD(protocols), "Centrifuge-JSON", 400},
    {FIELD(protocols), ",", 400},
    {FIELD(origin), "https://hub.example:8000", 0}, /* the hub's own page */
    {FIELD(origin), "https://HUB.example:8000", 0},
    {FIELD(origin), "https://hub.example", 403},
    {FIELD(origin), "https://shop.example", 0},
    {FIELD(origin), "https://SHOP.EXAMPLE", 0},
    {FIELD(origin), "http://shop.example", 403},
    {FIELD(origin), "https://a.shop.example", 0},
    {FIELD(origin), "https://a.shop.example.evil.example", 403},
    {FIELD(origin), "https://ashop.example", 403},
    {FIELD(origin), "http://localhost:3000", 0},
    {FIELD(origin), "http://localhost", 403},
    {FIELD(origin), "null", 403},
    {FIELD(origin), "https://evil.example://hub.example:8000", 403},
    {FIELD(origin), "hub.example:8000", 403},
};

static void good_request_is_accepted(void **state)
{
    (void)state;
    struct config config = make_config();
    assert_int_equal(handshake_check(&good, &config).status, 0);
}

static void each_header_is_checked(void **state)
{
    (void)state;
    struct config config = make_config();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct handshake handshake = good;
        char *field = (char *)&handshake + cases[i].offset;
        assert_true(strlen(cases[i].value) < cases[i].size);
        memset(field, 0, cases[i].size);
        memcpy(field, cases[i].value, strlen(cases[i].value));
        struct refusal refusal = handshake_check(&handshake, &config);
        if (refusal.status != cases[i].status)
            fail_msg("case %zu, \"%s\": %u", i, cases[i].value, refusal.status);
        if (refusal.status == 0)
            continue;
        assert_non_null(refusal.text);
        assert_int_equal(refusal.metric, refusal.status == 403
                                             ? METRIC_CONNECTIONS_REFUSED_ORIGIN
                                             : METRIC_CONNECTIONS_REFUSED_HANDSHAKE);
    }
}

static void header_that_was_cut_is_refused_whatever_is_left_of_it(void **state)
{
    (void)state;
    struct config config = make_config();
    struct handshake handshake = good;
    handshake.is_cut = true;
    assert_int_equal(handshake_check(&handshake, &config).status, 431);
}

static void stranger_learns_of_the_path_before_anything_else(void **state)
{
    (void)state;
    struct config config = make_config();
    struct handshake handshake = {.method = "GET", .path = "/elsewhere", .is_cut = true};
    assert_int_equal(handshake_check(&handshake, &config).status, 404);
}

static void star_allows_every_origin_and_an_empty_list_only_our_own(void **state)
{
    (void)state;
    struct config config = make_config();
    config.client.allowed_origins.items = all_origins;
    config.client.allowed_origins.count = 1;
    assert_true(handshake_origin_is_allowed("https://anybody.example", "hub", &config));
    assert_true(handshake_origin_is_allowed("null", "hub", &config));
    config.client.allowed_origins.count = 0;
    assert_false(handshake_origin_is_allowed("https://anybody.example", "hub", &config));
    assert_true(handshake_origin_is_allowed("https://hub", "hub", &config));
    assert_true(handshake_origin_is_allowed("", "hub", &config));
    assert_false(handshake_origin_is_allowed("https://", "hub", &config));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_request_is_accepted),
        cmocka_unit_test(each_header_is_checked),
        cmocka_unit_test(header_that_was_cut_is_refused_whatever_is_left_of_it),
        cmocka_unit_test(stranger_learns_of_the_path_before_anything_else),
        cmocka_unit_test(star_allows_every_origin_and_an_empty_list_only_our_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
