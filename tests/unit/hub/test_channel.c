/* Names x options x actors, and the tricks people play with names. */
#include "hub/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { NAME_MAX_BYTES = 255 };

/* The config owns plain char *, so literals become arrays. */
static char dollar[] = "$", colon[] = ":", hash[] = "#", comma[] = ",", empty[] = "";
static char orders[] = "orders", open_to_all[] = "open", closed[] = "closed", words[] = "words",
            punctuated[] = "a.b-c_1", no_space[] = "^[^ ]+$";

static struct namespace_config namespaces[] = {
    {orders, {.allow_subscribe_for_client = true, .allow_user_limited_channels = true}},
    {open_to_all, {.allow_subscribe_for_client = true, .allow_subscribe_for_anonymous = true}},
    {closed, {.presence = true}},
    {words, {.channel_regex = no_space, .allow_subscribe_for_client = true}},
    {punctuated, {.allow_subscribe_for_client = true}},
};

static struct config make_config(void)
{
    struct config config = {0};
    config.channel.private_prefix = dollar;
    config.channel.namespace_boundary = colon;
    config.channel.user_boundary = hash;
    config.channel.user_separator = comma;
    config.channel.max_length = NAME_MAX_BYTES;
    config.channel.without_namespace.allow_subscribe_for_client = true;
    config.channel.without_namespace.allow_user_limited_channels = true;
    config.channel.namespaces.items = namespaces;
    config.channel.namespaces.count = COUNT(namespaces);
    return config;
}

static struct channel_rules *make_rules(const struct config *config)
{
    struct channel_rules *rules = NULL;
    assert_int_equal(channel_rules_new(config, &rules), WH_OK);
    return rules;
}

static void names_resolve_to_exactly_one_namespace(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum wh_code code;
        const char *space; /* what channel_namespace says */
    } cases[] = {
        {"news", WH_NO_ERROR, ""},
        {"orders:live", WH_NO_ERROR, "orders"},
        {"orders:live#42", WH_NO_ERROR, "orders"},
        {"$orders:live", WH_NO_ERROR, "orders"},
        {"$news", WH_NO_ERROR, ""},
        {"orders:a:b:c", WH_NO_ERROR, "orders"},
        {"orders:", WH_NO_ERROR, "orders"},
        {"a.b-c_1:x", WH_NO_ERROR, "a.b-c_1"},
        {"orders", WH_NO_ERROR, ""}, /* no boundary: only a name that looks alike */
        {"news:orders", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"Orders:live", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"orders :live", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {" orders:live", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"order:live", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"orderss:live", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {":live", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"$:live", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"$$orders:live", WH_ERROR_UNKNOWN_CHANNEL, ""}, /* one prefix is taken off, not two */
        {"#42:live", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"__keyspace@0__:*", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"o*:live", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"a:b:c", WH_ERROR_UNKNOWN_CHANNEL, ""},
        {"orders:*", WH_NO_ERROR, "orders"}, /* opaque: nobody ever globs */
        {"user[1]", WH_NO_ERROR, ""},
        {"x ", WH_NO_ERROR, ""},
        {"", WH_ERROR_BAD_REQUEST, ""},
    };
    struct config config = make_config();
    struct channel_rules *rules = make_rules(&config);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct channel_options *options = NULL;
        struct wh_slice name = wh_slice_from_str(cases[i].name);
        enum wh_code code = channel_resolve(rules, name, &options);
        if (code != cases[i].code)
            fail_msg("'%s' gives %d", cases[i].name, code);
        assert_int_equal(options != NULL, code == WH_NO_ERROR);
        struct wh_slice space = channel_namespace(rules, name);
        assert_non_null(space.ptr);
        if (!wh_slice_equal_str(space, cases[i].space))
            fail_msg("'%s' is labelled '%.*s'", cases[i].name, WH_SLICE_ARGS(space));
        if (code == WH_NO_ERROR && space.len == 0)
            assert_ptr_equal(options, &config.channel.without_namespace);
    }
    channel_rules_free(rules);
}

static void bytes_outside_the_stated_set_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice name;
        enum wh_code code;
    } cases[] = {
        {WH_SLICE_LITERAL("news\0x"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("\0"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("news\r\nSET x 1"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("news\n"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("a\tb"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("a\x7f"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("a\x1f"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("caf\xc3\xa9"), WH_ERROR_BAD_REQUEST},      /* NFC */
        {WH_SLICE_LITERAL("cafe\xcc\x81"), WH_ERROR_BAD_REQUEST},     /* NFD */
        {WH_SLICE_LITERAL("ne\xe2\x80\x8bws"), WH_ERROR_BAD_REQUEST}, /* zero width */
        {WH_SLICE_LITERAL("a\x80"), WH_ERROR_BAD_REQUEST},
        /* channel_regex replaces the ASCII rule, for the part behind the namespace ... */
        {WH_SLICE_LITERAL("words:caf\xc3\xa9"), WH_NO_ERROR},
        {WH_SLICE_LITERAL("words:two words"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("words:"), WH_ERROR_BAD_REQUEST},
        /* ... but not the ban on control characters, nor on what is no text. */
        {WH_SLICE_LITERAL("words:a\0b"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("words:a\n"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("words:caf\xe9"), WH_ERROR_BAD_REQUEST},
        {WH_SLICE_LITERAL("words:\xed\xa0\x80"), WH_ERROR_BAD_REQUEST},
    };
    struct config config = make_config();
    struct channel_rules *rules = make_rules(&config);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct channel_options *options = NULL;
        if (channel_resolve(rules, cases[i].name, &options) != cases[i].code)
            fail_msg("case %zu", i);
    }
    channel_rules_free(rules);
}

static void names_are_as_long_as_the_option_says(void **state)
{
    (void)state;
    struct config config = make_config();
    char name[1024] = "words:";
    memset(name + 6, 'x', sizeof(name) - 6);
    const struct channel_options *options = NULL;
    struct channel_rules *rules = make_rules(&config);
    assert_int_equal(channel_resolve(rules, wh_slice(name, 255), &options), WH_NO_ERROR);
    assert_int_equal(channel_resolve(rules, wh_slice(name, 256), &options), WH_ERROR_BAD_REQUEST);
    config.channel.max_length = sizeof(name);
    assert_int_equal(channel_resolve(rules, wh_slice(name, sizeof(name)), &options), WH_NO_ERROR);
    channel_rules_free(rules);
}

struct subscribe_case {
    const char *name, *user;
    bool has_token, expected, expected_insecure;
};

static void check_subscribe(const struct config *config,
                            const struct subscribe_case *c,
                            bool expected)
{
    struct channel_rules *rules = make_rules(config);
    const struct channel_options *options = NULL;
    struct wh_slice name = wh_slice_from_str(c->name);
    assert_int_equal(channel_resolve(rules, name, &options), WH_NO_ERROR);
    struct channel_actor actor = {.user = wh_slice_from_str(c->user), .has_token = c->has_token};
    if (channel_may_subscribe(rules, name, options, &actor) != expected)
        fail_msg("%s by '%s' (token: %d)", c->name, c->user, c->has_token);
    channel_rules_free(rules);
}

static void subscribing_follows_the_first_rule_that_matches(void **state)
{
    (void)state;
    static const struct subscribe_case cases[] = {
        /* name, user, token, allowed, allowed in insecure mode */
        {"news", "42", false, true, true},
        {"news", "", false, false, true},
        {"open:x", "", false, true, true},
        {"closed:x", "42", false, false, true},
        {"closed:x", "42", true, true, true},
        {"closed:x", "", true, true, true},
        /* private: a token, always */
        {"$news", "42", false, false, false},
        {"$open:x", "42", false, false, false},
        {"$orders:x#42", "42", false, false, false},
        {"$news", "42", true, true, true},
        {"n$ews", "42", false, true, true},
        /* user-limited: the exact bytes of the id */
        {"orders:live#42", "42", false, true, true},
        {"orders:live#42", "43", false, false, true},
        {"orders:live#42", "4", false, false, true},
        {"orders:live#42", "421", false, false, true},
        {"orders:live#42", "042", false, false, true},
        {"orders:live#042", "42", false, false, true},
        {"orders:live#42 ", "42", false, false, true},
        {"orders:live# 42", "42", false, false, true},
        {"orders:live#42.", "42", false, false, true},
        {"orders:live#Ann", "ann", false, false, true},
        {"orders:live#42,43", "42", false, true, true},
        {"orders:live#42,43", "43", false, true, true},
        {"orders:live#42,43", "42,43", false, false, true},
        {"orders:live#42,43", "2", false, false, true},
        {"orders:live#42,,43", "", false, false, true},
        {"orders:live#", "", false, false, true},
        {"orders:live#42,", "", false, false, true},
        {"orders:live#42#43", "42", false, false, true}, /* only the last list counts */
        {"orders:live#42#43", "43", false, true, true},
        {"#42", "42", false, true, true},
        {"#42", "43", false, false, true},
        {"orders:live#43", "42", true, true, true}, /* a token for it says so */
        /* without the option "#" is a character like any other */
        {"open:live#42", "43", false, true, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct config config = make_config();
        check_subscribe(&config, &cases[i], cases[i].expected);
        config.client.insecure = true;
        check_subscribe(&config, &cases[i], cases[i].expected_insecure);
    }
}

/* The three verbs share a rule but not their options. */
static const struct verb {
    const char *name;
    bool (*may)(const struct channel_rules *,
                const struct channel_options *,
                const struct channel_actor *);
    struct channel_options client, subscriber, client_anonymous, subscriber_anonymous;
} verbs[] = {
    {"publish",
     channel_may_publish,
     {.allow_publish_for_client = true},
     {.allow_publish_for_subscriber = true},
     {.allow_publish_for_client = true, .allow_publish_for_anonymous = true},
     {.allow_publish_for_subscriber = true, .allow_publish_for_anonymous = true}},
    {"presence",
     channel_may_see_presence,
     {.allow_presence_for_client = true},
     {.allow_presence_for_subscriber = true},
     {.allow_presence_for_client = true, .allow_presence_for_anonymous = true},
     {.allow_presence_for_subscriber = true, .allow_presence_for_anonymous = true}},
    {"history",
     channel_may_see_history,
     {.allow_history_for_client = true},
     {.allow_history_for_subscriber = true},
     {.allow_history_for_client = true, .allow_history_for_anonymous = true},
     {.allow_history_for_subscriber = true, .allow_history_for_anonymous = true}},
};

/* Bit 0: the actor is known; bit 1: the actor is subscribed. */
static unsigned allowed_actors(const struct channel_rules *rules,
                               const struct verb *verb,
                               const struct channel_options *options)
{
    unsigned allowed = 0;
    for (unsigned bits = 0; bits < 4; bits++) {
        struct channel_actor actor = {.user = wh_slice_from_str(bits & 1 ? "42" : ""),
                                      .is_subscribed = (bits & 2) != 0};
        allowed |= (unsigned)verb->may(rules, options, &actor) << bits;
    }
    return allowed;
}

static void publish_presence_and_history_each_obey_their_own_options(void **state)
{
    (void)state;
    enum { STRANGER = 1, KNOWN = 2, SUBSCRIBED_STRANGER = 4, SUBSCRIBED = 8 };
    static const struct channel_options none = {.allow_subscribe_for_client = true};
    struct config config = make_config();
    struct channel_rules *rules = make_rules(&config);
    for (size_t i = 0; i < COUNT(verbs); i++) {
        const struct verb *verb = &verbs[i];
        assert_int_equal(allowed_actors(rules, verb, &none), 0);
        assert_int_equal(allowed_actors(rules, verb, &verb->client), KNOWN | SUBSCRIBED);
        assert_int_equal(allowed_actors(rules, verb, &verb->subscriber), SUBSCRIBED);
        assert_int_equal(allowed_actors(rules, verb, &verb->client_anonymous), 15);
        assert_int_equal(allowed_actors(rules, verb, &verb->subscriber_anonymous),
                         SUBSCRIBED_STRANGER | SUBSCRIBED);
        const struct verb *other = &verbs[(i + 1) % COUNT(verbs)];
        assert_int_equal(allowed_actors(rules, verb, &other->client_anonymous), 0);
    }
    config.client.insecure = true;
    for (size_t i = 0; i < COUNT(verbs); i++)
        assert_int_equal(allowed_actors(rules, &verbs[i], &none), 15);
    channel_rules_free(rules);
}

static void the_special_characters_can_be_changed_and_switched_off(void **state)
{
    (void)state;
    static char private_prefix[] = "priv/", boundary[] = "::", user[] = "@@", separator[] = "+";
    struct config config = make_config();
    config.channel.private_prefix = private_prefix;
    config.channel.namespace_boundary = boundary;
    config.channel.user_boundary = user;
    config.channel.user_separator = separator;
    struct channel_rules *rules = make_rules(&config);
    struct wh_slice name = WH_SLICE_LITERAL("priv/orders::live@@42+43");
    assert_true(channel_is_private(rules, name));
    assert_true(wh_slice_equal_str(channel_namespace(rules, name), "orders"));
    const struct channel_options *options = NULL;
    struct channel_actor actor = {.user = WH_SLICE_LITERAL("43")};
    name = wh_slice_from(name, 5);
    assert_false(channel_is_private(rules, name));
    assert_int_equal(channel_resolve(rules, name, &options), WH_NO_ERROR);
    assert_true(channel_may_subscribe(rules, name, options, &actor));
    actor.user = WH_SLICE_LITERAL("4");
    assert_false(channel_may_subscribe(rules, name, options, &actor));
    channel_rules_free(rules);

    config.channel.private_prefix = config.channel.namespace_boundary = empty;
    config.channel.user_boundary = NULL;
    rules = make_rules(&config);
    name = WH_SLICE_LITERAL("$nowhere:live#42");
    assert_false(channel_is_private(rules, name));
    assert_int_equal(channel_resolve(rules, name, &options), WH_NO_ERROR);
    assert_true(channel_may_subscribe(rules, name, options, &actor));
    channel_rules_free(rules);
}

static void rules_that_cannot_be_meant_are_refused(void **state)
{
    (void)state;
    static char bad_regex[] = "(", other[] = "other";
    struct channel_rules *rules = NULL;
    struct config config = make_config();
    config.channel.without_namespace.channel_regex = bad_regex;
    assert_int_equal(channel_rules_new(&config, &rules), WH_EINVAL);

    struct namespace_config twice[] = {{other, {0}}, {other, {0}}};
    config = make_config();
    config.channel.namespaces.items = twice;
    config.channel.namespaces.count = 2;
    assert_int_equal(channel_rules_new(&config, &rules), WH_EINVAL);

    struct namespace_config bad[] = {{other, {.channel_regex = no_space}},
                                     {orders, {.channel_regex = bad_regex}}};
    config.channel.namespaces.items = bad;
    assert_int_equal(channel_rules_new(&config, &rules), WH_EINVAL);
    assert_null(rules);
    channel_rules_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_resolve_to_exactly_one_namespace),
        cmocka_unit_test(bytes_outside_the_stated_set_are_refused),
        cmocka_unit_test(names_are_as_long_as_the_option_says),
        cmocka_unit_test(subscribing_follows_the_first_rule_that_matches),
        cmocka_unit_test(publish_presence_and_history_each_obey_their_own_options),
        cmocka_unit_test(the_special_characters_can_be_changed_and_switched_off),
        cmocka_unit_test(rules_that_cannot_be_meant_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
