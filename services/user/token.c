#include "services/user/token.h"

#include "common/protocol/json.h"

#include <jwt.h>
#include <openssl/err.h>

#include <stdlib.h>

/* The live channels of a user, which the hub subscribes its connection to.  Each carries what
 * happened to what is this user's. */
static const char *const live_channels[] = {"orders:live#", "payments:live#", "users:live#"};

static void write_member(struct wh_buf *out, const char *name, struct wh_slice value)
{
    wh_buf_printf(out, ",\"%s\":", name);
    wh_json_write_string(out, value);
}

static void write_channels(struct wh_slice user, struct wh_buf *out)
{
    wh_buf_append_str(out, ",\"channels\":[");
    for (size_t i = 0; i < sizeof(live_channels) / sizeof(live_channels[0]); i++) {
        struct wh_buf channel = {0};
        wh_buf_append_str(&channel, live_channels[i]);
        wh_buf_append_slice(&channel, user);
        if (wh_buf_error(&channel))
            out->err = WH_ENOMEM;
        wh_buf_append_str(out, i > 0 ? "," : "");
        wh_json_write_string(out, wh_buf_slice(&channel));
        wh_buf_deinit(&channel);
    }
    wh_buf_append_char(out, ']');
}

void access_claims_write(const struct access_claims *claims, struct wh_buf *out)
{
    wh_buf_append_str(out, "{\"sub\":");
    wh_json_write_string(out, claims->user);
    wh_buf_printf(out, ",\"iat\":%lld,\"exp\":%lld", (long long)claims->issued_at_s,
                  (long long)claims->expires_at_s);
    write_member(out, "jti", claims->id);
    write_member(out, "iss", claims->issuer);
    if (claims->audience.ptr)
        write_member(out, "aud", claims->audience);
    wh_buf_append_str(out, ",\"roles\":[");
    for (size_t i = 0; i < claims->roles.count; i++) {
        wh_buf_append_str(out, i > 0 ? "," : "");
        wh_json_write_string(out, claims->roles.items[i]);
    }
    wh_buf_append_str(out, "],\"info\":{\"name\":");
    wh_json_write_string(out, claims->name);
    wh_buf_append_str(out, "},\"meta\":{\"session\":");
    wh_json_write_string(out, claims->session);
    wh_buf_append_char(out, '}');
    write_channels(claims->user, out);
    wh_buf_append_char(out, '}');
}

static enum wh_err sign(jwt_t *jwt, const char *kid, const char *pem, struct wh_buf *out)
{
    if (jwt_add_header(jwt, "kid", kid) != 0 ||
        jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)pem, (int)strlen(pem)) != 0)
        return WH_EINVAL;
    char *token = jwt_encode_str(jwt);
    if (!token)
        return WH_EINVAL;
    wh_buf_append_str(out, token);
    free(token);
    return wh_buf_error(out);
}

enum wh_err access_token_sign(const struct access_claims *claims,
                              const char *kid,
                              const char *private_pem,
                              struct wh_buf *out)
{
    struct wh_buf text = {0};
    jwt_t *jwt = NULL;
    access_claims_write(claims, &text);
    enum wh_err err = wh_buf_error(&text);
    if (!err && jwt_new(&jwt) != 0)
        err = WH_ENOMEM;
    if (!err)
        err = jwt_add_grants_json(jwt, wh_buf_cstr(&text)) == 0 ? sign(jwt, kid, private_pem, out)
                                                                : WH_EINVAL;
    if (jwt)
        jwt_free(jwt);
    wh_buf_deinit(&text);
    ERR_clear_error();
    return err;
}
