/*
 * Names of options: look-up, the environment's spelling, and the nearest known
 * name for a misspelt one.
 *
 * Tables have a few hundred rows and are asked a few hundred times at start, so
 * every search is a plain walk.  Distances are computed on bounded words: a
 * hostile file cannot make them expensive.
 */
#include "common/base/option.h"

#include <ctype.h>

#define WORD_MAX 96

const struct wh_option *wh_option_find(const struct wh_option_table *table, struct wh_slice name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (wh_slice_equal_str(name, table->options[i].name))
            return &table->options[i];
    }
    return NULL;
}

static bool strip_suffix(struct wh_slice *text, const char *suffix)
{
    size_t len = strlen(suffix);

    if (text->len <= len || memcmp(text->ptr + text->len - len, suffix, len) != 0)
        return false;
    text->len -= len;
    return true;
}

const struct wh_option *wh_option_find_secret_file(const struct wh_option_table *table,
                                                   struct wh_slice name)
{
    if (!strip_suffix(&name, "_file"))
        return NULL;
    const struct wh_option *option = wh_option_find(table, name);
    return option && (option->flags & WH_OPTION_SECRET) ? option : NULL;
}

bool wh_option_is_group(const struct wh_option_table *table, struct wh_slice name)
{
    if (wh_slice_is_empty(name))
        return false;
    for (size_t i = 0; i < table->count; i++) {
        const char *known = table->options[i].name;
        if (strlen(known) > name.len && known[name.len] == '.' &&
            memcmp(known, name.ptr, name.len) == 0)
            return true;
    }
    return false;
}

/* Levenshtein's distance with two rows; words longer than WORD_MAX are infinitely far. */
static size_t edit_distance(struct wh_slice a, struct wh_slice b)
{
    size_t row[WORD_MAX + 1];

    if (a.len > WORD_MAX || b.len > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same =
                tolower((unsigned char)a.ptr[i - 1]) == tolower((unsigned char)b.ptr[j - 1]);
            size_t best = diagonal + (same ? 0 : 1);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b.len];
}

/* A third of the letters wrong is no longer a misspelling. */
static size_t distance_allowed(struct wh_slice word)
{
    return word.len < 4 ? 1 : word.len / 3 < 2 ? 2 : word.len / 3 > 4 ? 4 : word.len / 3;
}

const char *wh_nearest_word(struct wh_slice word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t best_distance = distance_allowed(word) + 1;

    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, wh_slice_from_str(words[i]));
        if (distance < best_distance) {
            best_distance = distance;
            best = words[i];
        }
    }
    /* "warning" for warn, "mem" for memory: too far by letters, yet plain. */
    for (size_t i = 0; i < count && !best && word.len >= 3; i++) {
        struct wh_slice known = wh_slice_from_str(words[i]);
        if (wh_slice_starts_with(known, word) ||
            (known.len >= 3 && wh_slice_starts_with(word, known)))
            best = words[i];
    }
    return best;
}

static size_t count_dots(struct wh_slice text)
{
    size_t dots = 0;

    for (size_t i = 0; i < text.len; i++)
        dots += text.ptr[i] == '.';
    return dots;
}

/* The first `segments` segments of `name`; the whole when it has fewer. */
static struct wh_slice name_head(const char *name, size_t segments)
{
    size_t len = 0;

    for (; name[len] != '\0'; len++) {
        if (name[len] == '.' && --segments == 0)
            break;
    }
    return wh_slice(name, len);
}

static struct wh_slice last_segment(struct wh_slice name)
{
    for (size_t i = name.len; i > 0; i--) {
        if (name.ptr[i - 1] == '.')
            return wh_slice_from(name, i);
    }
    return name;
}

/* A right word in the wrong group: "ping_interval" at the top, "client.port". */
static bool write_misplaced(const struct wh_option_table *table,
                            struct wh_slice name,
                            struct wh_buf *out)
{
    struct wh_slice word = last_segment(name);

    for (size_t i = 0; i < table->count; i++) {
        struct wh_slice known = wh_slice_from_str(table->options[i].name);
        if (wh_slice_equal(last_segment(known), word)) {
            wh_buf_append_slice(out, known);
            return true;
        }
    }
    return false;
}

/*
 * Names are compared at the depth of what was written, so that "clients" (a whole misspelt group)
 * finds "client".
 */
bool wh_option_nearest(const struct wh_option_table *table,
                       struct wh_slice name,
                       struct wh_buf *out)
{
    struct wh_slice best = WH_SLICE_ABSENT;
    size_t best_distance = distance_allowed(last_segment(name)) + 1;
    size_t segments = count_dots(name) + 1;

    for (size_t i = 0; i < table->count; i++) {
        struct wh_slice head = name_head(table->options[i].name, segments);
        size_t distance = edit_distance(name, head);
        if (distance < best_distance) {
            best_distance = distance;
            best = head;
        }
    }
    if (!best.ptr)
        return write_misplaced(table, name, out);
    wh_buf_append_slice(out, best);
    return true;
}

void wh_option_write_env_name(const char *prefix, const char *name, struct wh_buf *out)
{
    wh_buf_append_str(out, prefix);
    for (; *name; name++)
        wh_buf_append_char(out, *name == '.' ? '_' : (char)toupper((unsigned char)*name));
}

static bool env_name_equal(struct wh_slice variable, const char *prefix, const char *name)
{
    size_t prefix_len = strlen(prefix);
    struct wh_slice rest = wh_slice_from(variable, prefix_len);

    if (!wh_slice_starts_with(variable, wh_slice(prefix, prefix_len)) || rest.len != strlen(name))
        return false;
    for (size_t i = 0; i < rest.len; i++) {
        char expected = name[i] == '.' ? '_' : (char)toupper((unsigned char)name[i]);
        if (rest.ptr[i] != expected)
            return false;
    }
    return true;
}

const struct wh_option *wh_option_find_env(const struct wh_option_table *table,
                                           const char *prefix,
                                           struct wh_slice variable,
                                           bool *out_is_file)
{
    struct wh_slice without_file = variable;
    bool may_be_file = strip_suffix(&without_file, "_FILE");

    WH_ASSERT(variable.ptr);

    for (size_t i = 0; i < table->count; i++) {
        const struct wh_option *option = &table->options[i];
        bool is_file = may_be_file && (option->flags & WH_OPTION_SECRET) &&
                       env_name_equal(without_file, prefix, option->name);
        if (is_file || env_name_equal(variable, prefix, option->name)) {
            *out_is_file = is_file;
            return option;
        }
    }
    return NULL;
}
