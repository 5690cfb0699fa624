#include "services/user/user.h"

#include "common/base/utf8.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct wh_slice trim(struct wh_slice text)
{
    while (text.len > 0 && is_blank(text.ptr[0]))
        text = wh_slice_from(text, 1);
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* RFC 5321's atoms (quoted local parts exist on paper): no dot first, last or twice. */
static bool is_local_part(const char *text, size_t len)
{
    if (len == 0 || len > USER_EMAIL_LOCAL_MAX || text[0] == '.' || text[len - 1] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '.' && text[i + 1] == '.')
            return false;
        if (!is_lower_or_digit(text[i]) && !strchr(".!#$%&'*+-/=?^_`{|}~", text[i]))
            return false;
    }
    return true;
}

/* Labels of letters, digits and inner hyphens, at least two of them. */
static bool is_domain(const char *text, size_t len)
{
    size_t label = 0, labels = 1;
    for (size_t i = 0; i < len; i++) {
        bool is_end = i + 1 == len || text[i + 1] == '.';
        if (text[i] == '.') {
            if (label == 0)
                return false;
            labels++;
            label = 0;
            continue;
        }
        if (!is_lower_or_digit(text[i]) && (text[i] != '-' || label == 0 || is_end))
            return false;
        if (++label > 63)
            return false;
    }
    return labels >= 2 && label > 0;
}

enum wh_err user_email_normalize(struct wh_slice email, char out[USER_EMAIL_BYTES_MAX + 1])
{
    char lowered[USER_EMAIL_BYTES_MAX + 1] = {0};
    email = trim(email);
    if (email.len == 0 || email.len > USER_EMAIL_BYTES_MAX)
        return WH_EFORMAT;
    for (size_t i = 0; i < email.len; i++) {
        char c = email.ptr[i];
        if (c <= ' ' || c >= 0x7f)
            return WH_EFORMAT;
        lowered[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    const char *at = strrchr(lowered, '@');
    if (!at || !is_local_part(lowered, (size_t)(at - lowered)) ||
        !is_domain(at + 1, email.len - (size_t)(at + 1 - lowered)))
        return WH_EFORMAT;
    memcpy(out, lowered, email.len + 1);
    return WH_OK;
}

/* C0, DEL and C1, and what overrides or isolates direction. */
static bool is_hidden(struct wh_slice c)
{
    const unsigned char *b = (const unsigned char *)c.ptr;
    if (c.len == 1)
        return b[0] < 0x20 || b[0] == 0x7f;
    if (c.len == 2)
        return b[0] == 0xc2 && b[1] < 0xa0;
    return c.len == 3 && b[0] == 0xe2 &&
           ((b[1] == 0x80 && b[2] >= 0xaa && b[2] <= 0xae) ||
            (b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9) ||
            (b[1] == 0x80 && (b[2] == 0xa8 || b[2] == 0xa9)));
}

bool user_name_is_acceptable(struct wh_slice name)
{
    size_t chars = 0;
    bool is_visible = false;
    if (name.len == 0 || name.len > USER_NAME_BYTES_MAX)
        return false;
    for (struct wh_slice rest = name; rest.len > 0; chars++) {
        size_t len = wh_utf8_next(rest);
        if (len == 0 || is_hidden(wh_slice(rest.ptr, len)))
            return false;
        is_visible |= rest.ptr[0] != ' ';
        rest = wh_slice_from(rest, len);
    }
    return is_visible && chars <= USER_NAME_CHARS_MAX;
}

static bool is_role(struct wh_slice role)
{
    if (role.len == 0 || role.len > USER_ROLE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < role.len; i++)
        if (!is_lower_or_digit(role.ptr[i]) && role.ptr[i] != '-' && role.ptr[i] != '_')
            return false;
    return true;
}

bool user_roles_are_acceptable(const struct wh_strings *roles)
{
    if (roles->count > USER_ROLES_MAX)
        return false;
    for (size_t i = 0; i < roles->count; i++) {
        if (!is_role(roles->items[i]))
            return false;
        for (size_t k = 0; k < i; k++)
            if (wh_slice_equal(roles->items[i], roles->items[k]))
                return false;
    }
    return true;
}

bool user_id_is_wellformed(struct wh_slice id)
{
    if (id.len != USER_ID_LEN)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool is_hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (is_hyphen ? c != '-' : !is_hex)
            return false;
    }
    return true;
}
