/*
 * Pure channel rules: the grammar of names, which namespace a name belongs
 * to, and who may do what.  No state, no I/O: everything is decided from the
 * config, the name and the identity.  Deny by default.
 */
#ifndef HUB_CHANNEL_H
#define HUB_CHANNEL_H

#include "common/protocol/codes.h"
#include "common/protocol/payload.h"
#include "hub/config.h"

/* Compiled once per config: namespace lookup and channel regexes. */
struct channel_rules;

WH_MUST_CHECK enum wh_err channel_rules_new(const struct config *config,
                                            struct channel_rules **out_rules);
void channel_rules_free(struct channel_rules *rules);

/*
 * Resolve `name` to its options (borrowed from the config).
 * WH_NO_ERROR; WH_ERROR_UNKNOWN_CHANNEL; WH_ERROR_BAD_REQUEST (too long, not ASCII or not
 * matching channel_regex, control characters).
 */
enum wh_code channel_resolve(const struct channel_rules *rules,
                             struct wh_slice name,
                             const struct channel_options **out_options);

/* The namespace part of `name` ("" when it has none): a metrics label, so only configured names. */
struct wh_slice channel_namespace(const struct channel_rules *rules, struct wh_slice name);

/* How long epoch and top of its stream live after the last use. */
uint64_t channel_meta_ttl_ms(const struct config *config, const struct channel_options *options);

/* `$…`: needs a subscription token. */
bool channel_is_private(const struct channel_rules *rules, struct wh_slice name);

struct channel_actor {
    struct wh_slice user; /* "" = anonymous */
    bool is_subscribed;   /* to the channel in question */
    bool has_token;       /* a subscription token was sent and verified for this channel */
};

/* One function per verb, one rule each; options come from channel_resolve of the same name. */
bool channel_may_subscribe(const struct channel_rules *rules,
                           struct wh_slice name,
                           const struct channel_options *options,
                           const struct channel_actor *actor);
bool channel_may_publish(const struct channel_rules *rules,
                         const struct channel_options *options,
                         const struct channel_actor *actor);
bool channel_may_see_presence(const struct channel_rules *rules,
                              const struct channel_options *options,
                              const struct channel_actor *actor);
bool channel_may_see_history(const struct channel_rules *rules,
                             const struct channel_options *options,
                             const struct channel_actor *actor);

/* Whether `data` may be published there: publication_data_format, and that it is what its kind
 * says. */
bool channel_takes_data(const struct channel_options *options, struct wh_payload data);

#endif
