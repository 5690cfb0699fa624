/*
 * What an account is and what may be in one: rules without a database.
 * Pure; any thread.
 */
#ifndef SERVICES_USER_USER_H
#define SERVICES_USER_USER_H

#include "common/base/buf.h"
#include "common/protocol/model.h"

enum {
    USER_EMAIL_BYTES_MAX = 254, /* RFC 5321 §4.5.3.1.3, without the angle brackets */
    USER_EMAIL_LOCAL_MAX = 64,
    USER_NAME_BYTES_MAX = 200,
    USER_NAME_CHARS_MAX = 100,
    USER_ROLES_MAX = 16,
    USER_ROLE_BYTES_MAX = 32,
    USER_ID_LEN = 36, /* UUIDv7 text */
};

/*
 * The form in which an address is stored and compared: ASCII letters lowered, white space at both
 * ends gone.  WH_EFORMAT: not something@some.domain of printable ASCII.  Whether mail arrives there
 * only a mail can tell, so this refuses what is no address at all and no more.
 */
WH_MUST_CHECK enum wh_err user_email_normalize(struct wh_slice email,
                                               char out[USER_EMAIL_BYTES_MAX + 1]);

/* 1 to 100 characters, no control characters, not blank only, none of the marks that turn the
 * direction of the text around it (U+202A to U+202E, U+2066 to U+2069). */
bool user_name_is_acceptable(struct wh_slice name);

/* At most 16 different names of a-z, 0-9, '-', '_', each 1 to 32 bytes. */
bool user_roles_are_acceptable(const struct wh_strings *roles);

/* A UUID in its text form, either case: what the database takes for one without an error. */
bool user_id_is_wellformed(struct wh_slice id);

#endif
