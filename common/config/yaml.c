/*
 * YAML (JSON is a subset) by libyaml's document tree, whose nodes keep their
 * line and column.
 *
 * Scalars have no type here: the option table gives it, so `no` stays text for
 * a text option.  The walk descends only where the table has options, so its
 * depth is the table's.  What a hostile document can cost is bounded: its size
 * by the caller, its nesting by a first pass over the events (libyaml's
 * scanner is quadratic in the depth of flow collections), and what aliases
 * multiply by the number of entries looked at.
 */
#include "common/config/loader.h"

#include <yaml.h>

#define DEPTH_MAX        32
#define LIST_MAX         1000
#define MAPPING_MAX      256
#define ENTRIES_SEEN_MAX 100000

struct walk {
    struct wh_config_loader *loader;
    yaml_document_t *document;
    enum wh_option_origin origin;
    size_t entries_seen;
};

/* Where options of a mapping are looked up, and how they are shown. */
struct scope {
    struct wh_option_set *set;
    const char *prefix; /* in the table: "", "client.", "client.token." */
    const char *shown;  /* before the prefix: "", "channel.namespaces[2]." */
};

static struct wh_option_place place_of(const struct walk *walk, yaml_mark_t mark)
{
    return (struct wh_option_place){walk->origin, (unsigned)mark.line + 1,
                                    (unsigned)mark.column + 1};
}

static struct wh_slice scalar_text(const yaml_node_t *node)
{
    return wh_slice(node->data.scalar.value, node->data.scalar.length);
}

/* `key:` with nothing behind it, and JSON's null. */
static bool is_null(const yaml_node_t *node)
{
    static const char *const names[] = {"", "~", "null", "Null", "NULL"};

    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (wh_slice_equal_str(scalar_text(node), names[i]))
            return true;
    }
    return false;
}

/* Only the types that scalars and collections have anyway: a tag must not change a meaning. */
static bool has_plain_tag(const yaml_node_t *node)
{
    static const char *const tags[] = {YAML_NULL_TAG,  YAML_BOOL_TAG, YAML_STR_TAG, YAML_INT_TAG,
                                       YAML_FLOAT_TAG, YAML_SEQ_TAG,  YAML_MAP_TAG, "!"};

    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        if (node->tag && strcmp((const char *)node->tag, tags[i]) == 0)
            return true;
    }
    return false;
}

static void walk_mapping(struct walk *walk, const yaml_node_t *node, const struct scope *scope);

static void complain(struct walk *walk, const yaml_node_t *node, const char *name, const char *text)
{
    wh_config_problem(walk->loader, WH_CONFIG_ERROR, place_of(walk, node->start_mark), name, "%s",
                      text);
}

static bool is_scalar(struct walk *walk,
                      const yaml_node_t *node,
                      const char *name,
                      const char *want)
{
    if (!has_plain_tag(node))
        complain(walk, node, name, "tags are not supported");
    else if (is_null(node))
        complain(walk, node, name, "has no value (write \"\" for an empty one)");
    else if (node->type != YAML_SCALAR_NODE)
        wh_config_problem(walk->loader, WH_CONFIG_ERROR, place_of(walk, node->start_mark), name,
                          "must be %s, not a %s", want,
                          node->type == YAML_SEQUENCE_NODE ? "list" : "group of options");
    else
        return true;
    return false;
}

static size_t sequence_count(const yaml_node_t *node)
{
    return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

static const yaml_node_t *sequence_item(const struct walk *walk,
                                        const yaml_node_t *node,
                                        size_t index)
{
    return yaml_document_get_node(walk->document, node->data.sequence.items.start[index]);
}

/* True for a list of acceptable length; anything else has been complained about. */
static bool is_list(struct walk *walk, const yaml_node_t *node, const char *name)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        complain(walk, node, name, "must be a list");
        return false;
    }
    walk->entries_seen += sequence_count(node);
    if (sequence_count(node) <= LIST_MAX && walk->entries_seen <= ENTRIES_SEEN_MAX)
        return true;
    complain(walk, node, name, "has too many items");
    return false;
}

static void set_strings(struct walk *walk,
                        const yaml_node_t *node,
                        struct wh_option_set *set,
                        const struct wh_option *option,
                        const char *name)
{
    struct wh_slice texts[LIST_MAX];
    struct wh_buf problem = {0};

    if (!is_list(walk, node, name))
        return;
    size_t count = sequence_count(node);
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = sequence_item(walk, node, i);
        if (!is_scalar(walk, item, wh_config_text(walk->loader, "%s[%zu]", name, i), "text"))
            return;
        texts[i] = scalar_text(item);
    }
    struct wh_option_place place = place_of(walk, node->start_mark);
    enum wh_err err = wh_option_set_strings(set, option, texts, count, place, &problem);
    if (err == WH_ENOMEM)
        walk->loader->is_out_of_memory = true;
    else if (err != WH_OK)
        complain(walk, node, name, wh_buf_cstr(&problem));
    else
        wh_config_warn_no_effect(walk->loader, set, option, name);
    wh_buf_deinit(&problem);
}

static void set_objects(struct walk *walk,
                        const yaml_node_t *node,
                        struct wh_option_set *set,
                        const struct wh_option *option,
                        const char *name)
{
    if (!is_list(walk, node, name))
        return;
    size_t count = sequence_count(node);
    struct wh_option_place place = place_of(walk, node->start_mark);
    if (wh_option_set_objects(set, option, count, place) != WH_OK) {
        walk->loader->is_out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *item_name = wh_config_text(walk->loader, "%s[%zu]", name, i);
        const yaml_node_t *item = sequence_item(walk, node, i);
        struct scope scope = {&wh_option_state(set, option)->objects[i], "",
                              wh_config_text(walk->loader, "%s.", item_name)};
        if (item->type == YAML_MAPPING_NODE) {
            walk_mapping(walk, item, &scope);
        } else {
            complain(walk, item, item_name, "must be a group of options");
            for (size_t j = 0; j < scope.set->table->count; j++)
                scope.set->states[j].is_broken = true;
        }
    }
}

static void set_value(struct walk *walk,
                      const yaml_node_t *node,
                      struct wh_option_set *set,
                      const struct wh_option *option,
                      const char *name,
                      bool is_file)
{
    static const char *const wants[] = {
        [WH_OPTION_BOOL] = "true or false",  [WH_OPTION_INTEGER] = "a whole number",
        [WH_OPTION_DURATION] = "a duration", [WH_OPTION_SIZE] = "a size",
        [WH_OPTION_STRING] = "text",         [WH_OPTION_ENUM] = "text"};

    struct wh_option_state *state = wh_option_state(set, option);

    if (option->type == WH_OPTION_STRINGS || option->type == WH_OPTION_OBJECTS) {
        state->is_broken = true; /* until it is set */
        if (option->type == WH_OPTION_STRINGS)
            set_strings(walk, node, set, option, name);
        else
            set_objects(walk, node, set, option, name);
    } else if (is_scalar(walk, node, name, wants[option->type])) {
        wh_config_set(walk->loader,
                      &(struct wh_config_value){.set = set,
                                                .option = option,
                                                .shown_name = name,
                                                .text = scalar_text(node),
                                                .place = place_of(walk, node->start_mark),
                                                .is_file = is_file});
    } else {
        state->is_broken = true;
    }
}

/* "channel.namespaces[2].map" is known as "channel.namespaces.map". */
static bool is_foreign(struct walk *walk, const char *name)
{
    if (!walk->loader->program->is_foreign_name)
        return false;
    const char *bracket = strchr(name, '[');
    const char *end = bracket ? strchr(bracket, ']') : NULL;

    if (end)
        name = wh_config_text(walk->loader, "%.*s%s", (int)(bracket - name), name, end + 1);
    return walk->loader->program->is_foreign_name(wh_slice_from_str(name));
}

static void refuse_key(struct walk *walk,
                       const yaml_node_t *key,
                       const struct scope *scope,
                       const char *table_name,
                       const char *name)
{
    struct wh_option_place place = place_of(walk, key->start_mark);
    struct wh_buf nearest = {0};

    if (walk->loader->problem_count == WH_CONFIG_PROBLEMS_MAX)
        wh_config_problem(walk->loader, WH_CONFIG_ERROR, place, NULL, "unknown option");
    else if (is_foreign(walk, name))
        wh_config_problem_foreign(walk->loader, place, name);
    else if (wh_slice_equal_str(scalar_text(key), "<<"))
        wh_config_problem(walk->loader, WH_CONFIG_ERROR, place, name,
                          "merge keys are not supported");
    else if (wh_option_nearest(scope->set->table, wh_slice_from_str(table_name), &nearest))
        wh_config_problem(walk->loader, WH_CONFIG_ERROR, place, name,
                          "unknown option (did you mean %s?)", wh_buf_cstr(&nearest));
    else
        wh_config_problem(walk->loader, WH_CONFIG_ERROR, place, name, "unknown option");
    wh_buf_deinit(&nearest);
}

static void walk_group(struct walk *walk,
                       const yaml_node_t *value,
                       const struct scope *scope,
                       const char *table_name,
                       const char *name)
{
    struct scope inner = {scope->set, wh_config_text(walk->loader, "%s.", table_name),
                          scope->shown};

    if (value->type == YAML_MAPPING_NODE)
        walk_mapping(walk, value, &inner);
    else if (!is_null(value))
        complain(walk, value, name, "is a group of options, not a value");
}

static void walk_pair(struct walk *walk, const yaml_node_pair_t *pair, const struct scope *scope)
{
    const yaml_node_t *key = yaml_document_get_node(walk->document, pair->key);
    const yaml_node_t *value = yaml_document_get_node(walk->document, pair->value);

    if (key->type != YAML_SCALAR_NODE ||
        memchr(key->data.scalar.value, 0, key->data.scalar.length)) {
        complain(walk, key, NULL, "the name of an option must be text");
        return;
    }
    /* A long key is no option; cutting it keeps the message readable. */
    struct wh_slice word = scalar_text(key);
    const char *dots = word.len > 80 ? "…" : "";
    word.len = word.len > 80 ? 80 : word.len;
    const char *table_name =
        wh_config_text(walk->loader, "%s%.*s%s", scope->prefix, WH_SLICE_ARGS(word), dots);
    const char *name = wh_config_text(walk->loader, "%s%s", scope->shown, table_name);
    struct wh_slice wanted = wh_slice_from_str(table_name);
    const struct wh_option *option = wh_option_find(scope->set->table, wanted);
    const struct wh_option *file_option = wh_option_find_secret_file(scope->set->table, wanted);

    if (word.len > 0 && memchr(word.ptr, '.', word.len))
        complain(walk, key, name, "options are written nested here, not with dots");
    else if (option || file_option)
        set_value(walk, value, scope->set, option ? option : file_option, name, option == NULL);
    else if (wh_option_is_group(scope->set->table, wanted))
        walk_group(walk, value, scope, table_name, name);
    else
        refuse_key(walk, key, scope, table_name, name);
}

/* Whether an earlier key of the mapping is the same; complained about. */
static bool is_duplicate(struct walk *walk,
                         const yaml_node_t *node,
                         const yaml_node_pair_t *pair,
                         const struct scope *scope)
{
    const yaml_node_t *key = yaml_document_get_node(walk->document, pair->key);

    for (const yaml_node_pair_t *other = node->data.mapping.pairs.start; other < pair; other++) {
        const yaml_node_t *earlier = yaml_document_get_node(walk->document, other->key);
        if (key->type != YAML_SCALAR_NODE || earlier->type != YAML_SCALAR_NODE ||
            !wh_slice_equal(scalar_text(key), scalar_text(earlier)))
            continue;
        wh_config_problem(walk->loader, WH_CONFIG_ERROR, place_of(walk, key->start_mark),
                          wh_config_text(walk->loader, "%s%s%.*s", scope->shown, scope->prefix,
                                         WH_SLICE_ARGS(scalar_text(key))),
                          "is given twice (first on line %zu)", earlier->start_mark.line + 1);
        return true;
    }
    return false;
}

static void walk_mapping(struct walk *walk, const yaml_node_t *node, const struct scope *scope)
{
    size_t count = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);

    walk->entries_seen += count;
    if (count > MAPPING_MAX || walk->entries_seen > ENTRIES_SEEN_MAX) {
        complain(walk, node, NULL, "too many options in one place");
        return;
    }
    if (!has_plain_tag(node)) {
        complain(walk, node, NULL, "tags are not supported");
        return;
    }
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top && !walk->loader->is_out_of_memory; pair++) {
        if (!is_duplicate(walk, node, pair, scope))
            walk_pair(walk, pair, scope);
    }
}

static struct wh_option_place place_of_offset(enum wh_option_origin origin,
                                              struct wh_slice text,
                                              size_t offset)
{
    struct wh_option_place place = {origin, 1, 1};

    for (size_t i = 0; i < offset && i < text.len; i++) {
        place.column = text.ptr[i] == '\n' ? 1 : place.column + 1;
        place.line += text.ptr[i] == '\n';
    }
    return place;
}

static void complain_parser(struct walk *walk, const yaml_parser_t *parser, struct wh_slice text)
{
    struct wh_config_loader *loader = walk->loader;
    size_t at = parser->problem_mark.index;

    if (parser->error == YAML_MEMORY_ERROR)
        loader->is_out_of_memory = true;
    else if (parser->error == YAML_READER_ERROR)
        wh_config_problem(loader, WH_CONFIG_ERROR,
                          place_of_offset(walk->origin, text, parser->problem_offset), NULL,
                          "is not text in UTF-8 (%s)", parser->problem);
    else if (parser->error == YAML_SCANNER_ERROR && at < text.len && text.ptr[at] == '\t')
        wh_config_problem(loader, WH_CONFIG_ERROR, place_of(walk, parser->problem_mark), NULL,
                          "YAML is indented with blanks, not with tabs");
    else
        wh_config_problem(loader, WH_CONFIG_ERROR, place_of(walk, parser->problem_mark), NULL,
                          "not YAML: %s%s%s", parser->problem, parser->context ? ", " : "",
                          parser->context ? parser->context : "");
}

static int depth_change(yaml_event_type_t type)
{
    switch (type) {
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return 1;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return -1;
    default:
        return 0;
    }
}

/* The first pass: syntax, depth, and that there is one document at most. */
static bool check_events(struct walk *walk, yaml_parser_t *parser, struct wh_slice text)
{
    yaml_event_t event;
    int depth = 0;
    int documents = 0;
    yaml_event_type_t type = YAML_NO_EVENT;

    while (type != YAML_STREAM_END_EVENT) {
        if (!yaml_parser_parse(parser, &event)) {
            complain_parser(walk, parser, text);
            return false;
        }
        struct wh_option_place place = place_of(walk, event.start_mark);
        type = event.type;
        yaml_event_delete(&event);
        depth += depth_change(type);
        documents += type == YAML_DOCUMENT_START_EVENT;
        if (depth > DEPTH_MAX || documents > 1) {
            wh_config_problem(walk->loader, WH_CONFIG_ERROR, place, NULL,
                              depth > DEPTH_MAX ? "nested too deeply"
                                                : "a second document in one file");
            return false;
        }
    }
    return true;
}

static void parser_open(yaml_parser_t *parser, struct wh_slice text)
{
    yaml_parser_set_input_string(parser, (const unsigned char *)text.ptr, text.len);
}

/* Both passes; false after a complaint.  The caller deletes the document. */
static bool load_document(struct walk *walk, struct wh_slice text, yaml_document_t *document)
{
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser)) {
        walk->loader->is_out_of_memory = true;
        return false;
    }
    parser_open(&parser, text);
    bool is_fine = check_events(walk, &parser, text);
    yaml_parser_delete(&parser);
    if (!is_fine)
        return false;
    if (!yaml_parser_initialize(&parser)) {
        walk->loader->is_out_of_memory = true;
        return false;
    }
    parser_open(&parser, text);
    is_fine = yaml_parser_load(&parser, document);
    if (!is_fine)
        complain_parser(walk, &parser, text);
    yaml_parser_delete(&parser);
    return is_fine;
}

void wh_config_read_document(struct wh_config_loader *loader,
                             struct wh_slice text,
                             enum wh_option_origin origin)
{
    yaml_document_t document;
    struct walk walk = {loader, &document, origin, 0};
    struct scope scope = {&loader->set, "", ""};

    if (!load_document(&walk, text, &document)) {
        loader->is_unread = true;
        return;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    if (root && root->type == YAML_MAPPING_NODE)
        walk_mapping(&walk, root, &scope);
    else if (root && !is_null(root))
        complain(&walk, root, NULL, "the file must be a group of options");
    yaml_document_delete(&document);
}

void wh_config_read_list(struct wh_config_loader *loader,
                         const struct wh_option *option,
                         struct wh_slice text,
                         enum wh_option_origin origin)
{
    yaml_document_t document;
    struct walk walk = {loader, &document, origin, 0};

    if (!load_document(&walk, text, &document))
        return;
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    if (root)
        set_value(&walk, root, &loader->set, option, option->name, false);
    else
        wh_config_problem(loader, WH_CONFIG_ERROR, (struct wh_option_place){origin, 0, 0},
                          option->name, "must be a list");
    yaml_document_delete(&document);
}
