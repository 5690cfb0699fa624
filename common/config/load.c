/*
 * Loading: one arena holds the values, the option set with the origin of each,
 * and the problems; wh_config_unload drops it whole.
 *
 * The sources are read from the weakest to the strongest, each overwriting the
 * values before it; the rules between options are checked at the end, on what
 * came out.  An error anywhere means no configuration, but only after
 * everything was looked at.
 */
#include "common/base/alloc.h"
#include "common/config/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Far more than the largest configuration needs; bounds what a hostile one gets. */
#define ARENA_MAX ((size_t)64 * 1024 * 1024)

static bool read_descriptor(int fd, struct wh_buf *out)
{
    for (;;) {
        char *room = wh_buf_reserve(out, 16384);
        ssize_t count = room ? read(fd, room, 16384) : 0;
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count == 0;
        wh_buf_commit(out, (size_t)count);
    }
}

/* False when there is no text; why has been noted. */
static bool read_text(struct wh_config_loader *loader, const char *path, struct wh_buf *out)
{
    const char *reason = NULL;
    int fd = -1;

    if (strcmp(path, "-") == 0)
        reason = "standard input is not read; give the name of a file";
    else if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        reason = wh_config_text(loader, "cannot be opened: %s", strerror(errno));
    else if (!read_descriptor(fd, out))
        reason = wh_config_text(loader, "cannot be read: %s", strerror(errno));
    else if (wh_buf_error(out) == WH_ELIMIT)
        reason = "is larger than 1 MiB";
    else if (wh_buf_error(out) != WH_OK)
        loader->is_out_of_memory = true;
    if (fd >= 0)
        close(fd);
    if (reason)
        wh_config_problem(loader, WH_CONFIG_ERROR,
                          (struct wh_option_place){WH_OPTION_FROM_FILE, 0, 0}, NULL, "%s", reason);
    return !reason && !loader->is_out_of_memory;
}

static void read_file(struct wh_config_loader *loader, const char *path)
{
    struct wh_buf text;

    wh_buf_init(&text, WH_CONFIG_TEXT_MAX);
    if (read_text(loader, path, &text))
        wh_config_read_document(loader, wh_buf_slice(&text), WH_OPTION_FROM_FILE);
    else
        loader->is_unread = true;
    wh_buf_deinit(&text);
}

void wh_config_warn_no_effect(struct wh_config_loader *loader,
                              const struct wh_option_set *set,
                              const struct wh_option *option,
                              const char *shown_name)
{
    struct wh_option_set plain;
    const struct wh_option_state *state = wh_option_state(set, option);

    if (!(option->flags & WH_OPTION_NO_EFFECT_YET) || state->is_broken)
        return;
    void *target = wh_arena_alloc(loader->arena, set->table->size);
    if (!target || wh_option_set_init(&plain, set->table, target, loader->arena) != WH_OK) {
        loader->is_out_of_memory = true;
        return;
    }
    if (!wh_option_equal(option, set->target, target))
        wh_config_problem(loader, WH_CONFIG_WARNING, state->place, shown_name,
                          "no effect in this version");
}

static enum wh_err set_secret_from_file(struct wh_config_loader *loader,
                                        const struct wh_config_value *value,
                                        struct wh_buf *problem)
{
    struct wh_slice secret;
    const char *path = wh_config_text(loader, "%.*s", WH_SLICE_ARGS(value->text));
    struct wh_buf reason = {0};

    enum wh_err err = wh_option_read_secret(path, loader->arena, &secret, &reason);
    if (err == WH_EIO)
        wh_buf_printf(problem, "\"%s\" %s", path, wh_buf_cstr(&reason));
    wh_buf_deinit(&reason);
    if (err == WH_OK)
        err = wh_option_set_text(value->set, value->option, secret, value->place, problem);
    return err;
}

void wh_config_set(struct wh_config_loader *loader, const struct wh_config_value *value)
{
    struct wh_option_state *state = wh_option_state(value->set, value->option);
    struct wh_buf problem = {0};
    enum wh_err err;

    /* Only NAME and NAME_file can meet here: the same key twice is found before. */
    if (state->place.origin == value->place.origin && (value->option->flags & WH_OPTION_SECRET))
        wh_config_problem(loader, WH_CONFIG_ERROR, value->place, value->shown_name,
                          "is given twice, as it is and as a file");
    if (value->is_file)
        err = set_secret_from_file(loader, value, &problem);
    else
        err = wh_option_set_text(value->set, value->option, value->text, value->place, &problem);
    if (err == WH_ENOMEM)
        loader->is_out_of_memory = true;
    else if (err != WH_OK)
        wh_config_problem(loader, WH_CONFIG_ERROR, value->place, value->shown_name, "%s",
                          wh_buf_cstr(&problem));
    else
        wh_config_warn_no_effect(loader, value->set, value->option, value->shown_name);
    wh_buf_deinit(&problem);
}

static void read_sources(struct wh_config_loader *loader, const struct wh_config_source *source)
{
    loader->file_name = wh_config_find_path(loader->program, source);
    if (source->text.ptr)
        wh_config_read_document(loader, source->text, WH_OPTION_FROM_FILE);
    else if (loader->file_name)
        read_file(loader, loader->file_name);
    if (source->environ)
        wh_config_read_environ(loader, source->environ);
    wh_config_read_flags(loader, source);
    loader->own_name = NULL;
    if (loader->program->check_rules)
        loader->program->check_rules(loader);
}

static struct wh_config_loader *loader_new(const struct wh_config_program *program)
{
    struct wh_arena *arena = wh_calloc(1, sizeof(*arena));
    if (!arena)
        return NULL;
    wh_arena_init(arena, ARENA_MAX);
    void *target = wh_arena_alloc(arena, program->table->size);
    struct wh_config_loader *loader = wh_arena_alloc(arena, sizeof(*loader));
    if (!target || !loader ||
        wh_option_set_init(&loader->set, program->table, target, arena) != WH_OK) {
        wh_arena_deinit(arena);
        wh_free(arena);
        return NULL;
    }
    loader->program = program;
    loader->arena = arena;
    return loader;
}

enum wh_err wh_config_load(const struct wh_config_program *program,
                           const struct wh_config_source *source,
                           struct wh_option_set *out_set,
                           size_t *out_warnings,
                           struct wh_buf *out_problems)
{
    struct wh_config_loader *loader = loader_new(program);
    if (!loader)
        return WH_ENOMEM;
    loader->strict = source->strict || wh_config_has_flag(source, "--strict");
    read_sources(loader, source);
    wh_config_problems_write(loader, out_problems);
    if (loader->is_out_of_memory || loader->error_count > 0) {
        enum wh_err err = loader->is_out_of_memory ? WH_ENOMEM : WH_EFORMAT;
        struct wh_option_set set = loader->set;
        wh_config_unload(&set);
        return err;
    }
    *out_set = loader->set;
    *out_warnings = loader->problem_count + loader->problems_dropped;
    return WH_OK;
}

void wh_config_unload(struct wh_option_set *set)
{
    struct wh_arena *arena = set->arena;
    if (!arena)
        return;
    *set = (struct wh_option_set){0};
    wh_arena_deinit(arena);
    wh_free(arena);
}
