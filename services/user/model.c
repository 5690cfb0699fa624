#include "services/user/model.h"

#include "common/protocol/schema_rows.h"

/* clang-format off */

#define T register_params
static const struct wh_field register_params_fields[] = {
    FIELD(1, email, STRING),
    FIELD(2, password, STRING),
    FIELD(3, name, STRING),
    FIELD(4, idempotency_key, STRING),
};
#undef T
SCHEMA(const, register_params, "RegisterParams", register_params);

#define T login_params
static const struct wh_field login_params_fields[] = {
    FIELD(1, email, STRING),
    FIELD(2, password, STRING),
};
#undef T
SCHEMA(const, login_params, "LoginParams", login_params);

#define T refresh_params
static const struct wh_field refresh_params_fields[] = {
    FIELD(1, refresh_token, STRING),
};
#undef T
SCHEMA(const, refresh_params, "RefreshParams", refresh_params);

#define T update_params
static const struct wh_field update_params_fields[] = {
    FIELD(1, name, STRING),
    FIELD(2, password, STRING),
    FIELD(3, current_password, STRING),
};
#undef T
SCHEMA(const, update_params, "UpdateParams", update_params);

#define T set_roles_params
static const struct wh_field set_roles_params_fields[] = {
    FIELD(1, user, STRING),
    FIELD(2, roles, STRINGS),
    FIELD(3, idempotency_key, STRING),
};
#undef T
SCHEMA(const, set_roles_params, "SetRolesParams", set_roles_params);

#define T rotate_key_params
static const struct wh_field rotate_key_params_fields[] = {
    FIELD(1, compromised, BOOL),
};
#undef T
SCHEMA(const, rotate_key_params, "RotateKeyParams", rotate_key_params);

#define T user_view
static const struct wh_field user_view_fields[] = {
    FIELD_ALWAYS(1, id, STRING),
    FIELD_ALWAYS(2, email, STRING),
    FIELD_ALWAYS(3, name, STRING),
    FIELD_ALWAYS(4, roles, STRINGS),
    FIELD_ALWAYS(5, created_at, STRING),
};
#undef T
SCHEMA(static const, user_view, "User", user_view);

#define T session_result
static const struct wh_field session_result_fields[] = {
    NESTED(1, user, MESSAGE, user_view),
    FIELD_ALWAYS(2, access_token, STRING),
    FIELD_ALWAYS(3, refresh_token, STRING),
    FIELD_ALWAYS(4, expires_in, U32),
};
#undef T
SCHEMA(const, session_result, "SessionResult", session_result);

#define T user_result
static const struct wh_field user_result_fields[] = {
    NESTED(1, user, MESSAGE, user_view),
};
#undef T
SCHEMA(const, user_result, "UserResult", user_result);

#define T rotate_key_result
static const struct wh_field rotate_key_result_fields[] = {
    FIELD_ALWAYS(1, kid, STRING),
    FIELD_ALWAYS(2, use_from, STRING),
};
#undef T
SCHEMA(const, rotate_key_result, "RotateKeyResult", rotate_key_result);

#define T user_event
static const struct wh_field user_event_fields[] = {
    FIELD_ALWAYS(1, user, STRING),
    FIELD_ALWAYS(2, name, STRING),
    FIELD_ALWAYS(3, roles, STRINGS),
};
#undef T
SCHEMA(const, user_event, "UserEvent", user_event);

/* clang-format on */
