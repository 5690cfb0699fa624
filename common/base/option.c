/*
 * Sets: a table bound to the struct that it fills.
 *
 * A value is parsed completely before anything is stored, so a refused value
 * leaves the old one, and its row is marked broken: checks that compare
 * several options can then keep quiet about it.  A list of objects is a set
 * per item; the sets live in the arena beside the items.
 */
#include "common/base/option_internal.h"
#include "common/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_FILE_MAX 65536

/* The blank separated form of a list is for the environment and flags. */
static bool is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '\n';
}

static enum wh_err check_string(const struct wh_option *option,
                                struct wh_slice text,
                                struct wh_buf *problem)
{
    if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        wh_buf_append_str(problem, "contains a NUL byte");
    else if (!wh_utf8_is_valid(text))
        wh_buf_append_str(problem, "is not valid UTF-8");
    else if (text.len < option->min)
        wh_buf_append_str(problem, text.len == 0 ? "must not be empty" : "is too short");
    else if (option->max > 0 && text.len > option->max)
        wh_buf_printf(problem, "is too long (%zu bytes, at most %llu)", text.len,
                      (unsigned long long)option->max);
    else if ((option->flags & WH_OPTION_SECRET) && wh_slice_equal_str(text, WH_OPTION_MASK))
        wh_buf_append_str(problem, "is the mask that is printed in place of secrets, not a secret");
    else
        return WH_OK;
    return WH_EFORMAT;
}

static enum wh_err store_string(struct wh_option_set *set,
                                const struct wh_option *option,
                                struct wh_slice text,
                                struct wh_buf *problem)
{
    enum wh_err err = check_string(option, text, problem);
    if (err != WH_OK)
        return err;
    struct wh_slice copy = wh_arena_copy(set->arena, wh_slice(text.ptr ? text.ptr : "", text.len));
    if (!copy.ptr)
        return WH_ENOMEM;
    wh_option_store(option, set->target, &copy.ptr, sizeof(copy.ptr));
    return WH_OK;
}

static enum wh_err store_strings(struct wh_option_set *set,
                                 const struct wh_option *option,
                                 const struct wh_slice *items,
                                 size_t count,
                                 struct wh_buf *problem)
{
    const char **copies = wh_arena_alloc_array(set->arena, count, sizeof(*copies));
    if (!copies)
        return WH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        enum wh_err err = check_string(option, items[i], problem);
        if (err != WH_OK)
            return err;
        copies[i] = wh_arena_copy(set->arena, items[i]).ptr;
        if (!copies[i])
            return WH_ENOMEM;
    }
    struct wh_option_list list = {copies, count};
    wh_option_store(option, set->target, &list, sizeof(list));
    return WH_OK;
}

/* The next item of a list in one line; absent at the end. */
static struct wh_slice next_word(struct wh_slice *text)
{
    size_t start = 0;

    while (start < text->len && is_separator(text->ptr[start]))
        start++;
    size_t end = start;
    while (end < text->len && !is_separator(text->ptr[end]))
        end++;
    struct wh_slice word = end > start ? wh_slice(text->ptr + start, end - start) : WH_SLICE_ABSENT;
    *text = wh_slice_from(*text, end);
    return word;
}

static enum wh_err store_split(struct wh_option_set *set,
                               const struct wh_option *option,
                               struct wh_slice text,
                               struct wh_buf *problem)
{
    /* At most every second byte begins a word. */
    struct wh_slice *words = wh_arena_alloc_array(set->arena, text.len / 2 + 1, sizeof(*words));
    size_t count = 0;

    if (!words)
        return WH_ENOMEM;
    for (struct wh_slice word = next_word(&text); word.ptr; word = next_word(&text))
        words[count++] = word;
    return store_strings(set, option, words, count, problem);
}

static enum wh_err store_text(struct wh_option_set *set,
                              const struct wh_option *option,
                              struct wh_slice text,
                              struct wh_buf *problem)
{
    enum wh_err err;
    uint64_t number;
    unsigned choice;
    bool truth;

    switch (option->type) {
    case WH_OPTION_BOOL:
        err = wh_option_parse_bool(text, &truth, problem);
        if (err == WH_OK)
            wh_option_store(option, set->target, &truth, sizeof(truth));
        return err;
    case WH_OPTION_INTEGER:
    case WH_OPTION_DURATION:
    case WH_OPTION_SIZE:
        err = wh_option_parse_number(option, text, &number, problem);
        if (err == WH_OK)
            wh_option_store(option, set->target, &number, sizeof(number));
        return err;
    case WH_OPTION_ENUM:
        err = wh_option_parse_choice(option, text, &choice, problem);
        if (err == WH_OK)
            wh_option_store(option, set->target, &choice, sizeof(choice));
        return err;
    case WH_OPTION_STRING:
        return store_string(set, option, text, problem);
    case WH_OPTION_STRINGS:
        return store_split(set, option, text, problem);
    case WH_OPTION_OBJECTS:
        break;
    }
    wh_buf_append_str(problem, "must be a list of objects");
    return WH_EFORMAT;
}

static enum wh_err note(const struct wh_option_set *set,
                        const struct wh_option *option,
                        struct wh_option_place place,
                        enum wh_err err)
{
    if (err == WH_OK || err == WH_EFORMAT) {
        struct wh_option_state *state = wh_option_state(set, option);
        state->place = place;
        state->is_broken = err != WH_OK;
    }
    return err;
}

enum wh_err wh_option_set_text(struct wh_option_set *set,
                               const struct wh_option *option,
                               struct wh_slice text,
                               struct wh_option_place place,
                               struct wh_buf *problem)
{
    return note(set, option, place, store_text(set, option, text, problem));
}

enum wh_err wh_option_set_strings(struct wh_option_set *set,
                                  const struct wh_option *option,
                                  const struct wh_slice *items,
                                  size_t count,
                                  struct wh_option_place place,
                                  struct wh_buf *problem)
{
    WH_ASSERT(option->type == WH_OPTION_STRINGS);
    return note(set, option, place, store_strings(set, option, items, count, problem));
}

enum wh_err wh_option_set_objects(struct wh_option_set *set,
                                  const struct wh_option *option,
                                  size_t count,
                                  struct wh_option_place place)
{
    const struct wh_option_table *table = option->objects;

    WH_ASSERT(option->type == WH_OPTION_OBJECTS);
    char *items = wh_arena_alloc_array(set->arena, count, table->size);
    struct wh_option_set *sets = wh_arena_alloc_array(set->arena, count, sizeof(*sets));
    if (!items || !sets)
        return WH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        enum wh_err err = wh_option_set_init(&sets[i], table, items + i * table->size, set->arena);
        if (err != WH_OK)
            return err;
    }
    struct wh_option_list list = {items, count};
    wh_option_store(option, set->target, &list, sizeof(list));
    wh_option_state(set, option)->objects = sets;
    return note(set, option, place, WH_OK);
}

enum wh_err wh_option_set_init(struct wh_option_set *set,
                               const struct wh_option_table *table,
                               void *target,
                               struct wh_arena *arena)
{
    struct wh_option_set fresh = {table, target, arena, NULL};
    struct wh_option_place nowhere = {WH_OPTION_FROM_DEFAULT, 0, 0};
    enum wh_err err = WH_OK;

    fresh.states = wh_arena_alloc_array(arena, table->count, sizeof(*fresh.states));
    if (!fresh.states)
        return WH_ENOMEM;
    for (size_t i = 0; i < table->count && err == WH_OK; i++) {
        const struct wh_option *option = &table->options[i];
        struct wh_buf problem = {0};
        if (option->default_text)
            err = wh_option_set_text(&fresh, option, wh_slice_from_str(option->default_text),
                                     nowhere, &problem);
        wh_buf_deinit(&problem);
        WH_ASSERT(err != WH_EFORMAT);
    }
    if (err == WH_OK)
        *set = fresh;
    return err;
}

struct wh_option_state *wh_option_state(const struct wh_option_set *set,
                                        const struct wh_option *option)
{
    size_t index = (size_t)(option - set->table->options);

    WH_ASSERT(index < set->table->count);
    return &set->states[index];
}

/* One more byte than allowed is asked for, so that a longer file shows. */
static enum wh_err read_all(int fd, char *text, size_t *out_len, struct wh_buf *problem)
{
    size_t len = 0;
    struct stat info;

    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        wh_buf_append_str(problem, "is not a regular file");
        return WH_EIO;
    }
    while (len <= SECRET_FILE_MAX) {
        ssize_t count = read(fd, text + len, SECRET_FILE_MAX + 1 - len);
        if (count < 0) {
            wh_buf_printf(problem, "cannot be read: %s", strerror(errno));
            return WH_EIO;
        }
        if (count == 0)
            break;
        len += (size_t)count;
    }
    if (len > SECRET_FILE_MAX) {
        wh_buf_printf(problem, "is larger than %d bytes", SECRET_FILE_MAX);
        return WH_EIO;
    }
    *out_len = len;
    return WH_OK;
}

enum wh_err wh_option_read_secret(const char *path,
                                  struct wh_arena *arena,
                                  struct wh_slice *out_secret,
                                  struct wh_buf *problem)
{
    char text[SECRET_FILE_MAX + 1];
    size_t len = 0;

    /* O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        wh_buf_printf(problem, "cannot be opened: %s", strerror(errno));
        return WH_EIO;
    }
    enum wh_err err = read_all(fd, text, &len, problem);
    close(fd);
    if (err != WH_OK)
        return err;
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    struct wh_slice copy = wh_arena_copy(arena, wh_slice(text, len));
    explicit_bzero(text, sizeof(text));
    if (!copy.ptr)
        return WH_ENOMEM;
    *out_secret = copy;
    return WH_OK;
}
