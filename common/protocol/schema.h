/*
 * One table of fields per protocol struct.  Codecs are generic walkers over
 * these tables, both directions; tests, fuzz dictionaries and docs/PROTOCOL.md
 * are generated from them too.
 */
#ifndef WH_PROTOCOL_SCHEMA_H
#define WH_PROTOCOL_SCHEMA_H

#include "common/protocol/model.h"

enum wh_field_type {
    WH_FIELD_BOOL,        /* bool */
    WH_FIELD_U32,         /* uint32_t */
    WH_FIELD_U64,         /* uint64_t */
    WH_FIELD_I32,         /* int32_t */
    WH_FIELD_I64,         /* int64_t */
    WH_FIELD_SINT64,      /* int64_t, zigzag in Protobuf */
    WH_FIELD_STRING,      /* struct wh_slice, valid UTF-8 */
    WH_FIELD_STRINGS,     /* struct wh_strings */
    WH_FIELD_PAYLOAD,     /* struct wh_payload */
    WH_FIELD_MESSAGE,     /* pointer to a struct of `schema`, NULL = absent */
    WH_FIELD_MESSAGES,    /* WH_MESSAGES of `schema` */
    WH_FIELD_STRING_MAP,  /* struct wh_string_map */
    WH_FIELD_MESSAGE_MAP, /* WH_MESSAGE_MAP of `schema` */
    WH_FIELD_RAW_JSON     /* struct wh_slice: the raw text of any JSON value; JSON codec only */
};

enum wh_field_presence {
    WH_OMIT_ZERO, /* left out when zero, empty or absent */
    WH_ALWAYS     /* written whatever it is (JSON and MessagePack; Protobuf omits zero scalars) */
};

struct wh_field {
    const char *name;
    uint32_t number; /* Protobuf field number */
    enum wh_field_type type;
    enum wh_field_presence presence;
    size_t offset;
    const struct wh_schema *schema; /* of MESSAGE, MESSAGES and MESSAGE_MAP */
};

struct wh_schema {
    const char *name;
    size_t size; /* of the struct */
    const struct wh_field *fields;
    size_t field_count;
};

extern const struct wh_schema wh_command_schema;
extern const struct wh_schema wh_reply_schema;
extern const struct wh_schema wh_push_schema;
extern const struct wh_schema wh_pub_schema;
extern const struct wh_schema wh_info_schema;
extern const struct wh_schema wh_error_schema;

/* Every schema above and below, for tests and docs; NULL-terminated. */
extern const struct wh_schema *const wh_schemas[];

#endif
