/*
 * Parameters and results of the methods as structs, and their field tables.
 * docs/SERVICES.md says what each member means.
 */
#ifndef SERVICES_USER_MODEL_H
#define SERVICES_USER_MODEL_H

#include "common/protocol/schema.h"

struct register_params {
    struct wh_slice email;
    struct wh_slice password;
    struct wh_slice name;
    struct wh_slice idempotency_key;
};

struct login_params {
    struct wh_slice email;
    struct wh_slice password;
};

struct refresh_params {
    struct wh_slice refresh_token;
};

struct update_params {
    struct wh_slice name;
    struct wh_slice password;
    struct wh_slice current_password;
};

struct set_roles_params {
    struct wh_slice user;
    struct wh_strings roles;
    struct wh_slice idempotency_key;
};

struct rotate_key_params {
    bool compromised;
};

struct user_view {
    struct wh_slice id;
    struct wh_slice email;
    struct wh_slice name;
    struct wh_strings roles;
    struct wh_slice created_at; /* RFC 3339, UTC */
};

struct session_result {
    struct user_view *user;
    struct wh_slice access_token;
    struct wh_slice refresh_token;
    uint32_t expires_in; /* seconds, of the access token */
};

struct user_result {
    struct user_view *user;
};

struct rotate_key_result {
    struct wh_slice kid;
    struct wh_slice use_from; /* RFC 3339, UTC */
};

/* The data of user.registered.v1 and user.updated.v1. */
struct user_event {
    struct wh_slice user;
    struct wh_slice name;
    struct wh_strings roles;
};

extern const struct wh_schema register_params_schema;
extern const struct wh_schema login_params_schema;
extern const struct wh_schema refresh_params_schema;
extern const struct wh_schema update_params_schema;
extern const struct wh_schema set_roles_params_schema;
extern const struct wh_schema rotate_key_params_schema;
extern const struct wh_schema session_result_schema;
extern const struct wh_schema user_result_schema;
extern const struct wh_schema rotate_key_result_schema;
extern const struct wh_schema user_event_schema;

#endif
