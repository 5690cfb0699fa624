#include "services/core/test_db.h"

#include "common/base/alloc.h"
#include "common/base/list.h"
#include "services/core/core.h"
#include "services/core/db_conn.h"

struct line {
    const char *part;
    const char *const *cells;
    size_t columns;
    size_t cell_count;
    int64_t affected;
    enum svc_db_err err;
    bool is_used;
};

struct statement {
    char *sql;
    char *params[SVC_PARAMS_MAX]; /* NULL = NULL */
    size_t param_count;
};

struct fake {
    struct svc_db db;
    struct line lines[SVC_TEST_DB_LINES_MAX];
    size_t line_count;
    struct statement statements[SVC_TEST_DB_STATEMENTS_MAX];
    size_t statement_count;
};

static struct fake *fake_of(struct svc_db *db)
{
    return WH_CONTAINER_OF(db, struct fake, db);
}

static char *copy(struct wh_slice text)
{
    char *bytes = wh_malloc(text.len + 1);
    WH_ASSERT(bytes != NULL);
    if (text.len > 0)
        memcpy(bytes, text.ptr, text.len);
    bytes[text.len] = '\0';
    return bytes;
}

static char *copy_param(const struct svc_param *param)
{
    struct wh_buf number = {0};
    if (param->type != SVC_PARAM_INT && param->type != SVC_PARAM_BOOL)
        return param->type == SVC_PARAM_NULL || !param->text.ptr ? NULL : copy(param->text);
    if (param->type == SVC_PARAM_BOOL)
        return copy(wh_slice_from_str(param->integer ? "true" : "false"));
    wh_buf_append_i64(&number, param->integer);
    char *text = copy(wh_buf_slice(&number));
    wh_buf_deinit(&number);
    return text;
}

static void record(struct fake *fake, const char *sql, const struct svc_param *params, size_t count)
{
    WH_ASSERT(fake->statement_count < SVC_TEST_DB_STATEMENTS_MAX);
    struct statement *statement = &fake->statements[fake->statement_count++];
    statement->sql = copy(wh_slice_from_str(sql));
    statement->param_count = count;
    for (size_t i = 0; i < count; i++)
        statement->params[i] = copy_param(&params[i]);
}

static struct svc_rows *make_rows(struct fake *fake, const struct line *line)
{
    size_t bytes = 0;
    char *at = NULL;
    for (size_t i = 0; i < line->cell_count; i++)
        bytes += line->cells[i] ? strlen(line->cells[i]) : 0;
    size_t rows_count = line->columns > 0 ? line->cell_count / line->columns : 0;
    struct svc_rows *rows = svc_db_hold(&fake->db, rows_count, line->columns, bytes, &at);
    WH_ASSERT(rows != NULL);
    struct wh_slice *cells = (struct wh_slice *)(uintptr_t)rows->cells;
    for (size_t i = 0; i < line->cell_count; i++) {
        if (!line->cells[i])
            continue;
        size_t len = strlen(line->cells[i]);
        memcpy(at, line->cells[i], len + 1);
        cells[i] = wh_slice(at, len);
        at += len + 1;
    }
    rows->affected = line->affected;
    return rows;
}

static enum svc_db_err query(struct svc_db *db,
                             const char *sql,
                             const struct svc_param *params,
                             size_t count,
                             struct svc_rows **out_rows)
{
    static const struct line unscripted = {.affected = 1};
    struct fake *fake = fake_of(db);
    record(fake, sql, params, count);
    for (size_t i = 0; i < fake->line_count; i++) {
        struct line *line = &fake->lines[i];
        if (line->is_used || !strstr(sql, line->part))
            continue;
        line->is_used = true;
        if (!line->err)
            *out_rows = make_rows(fake, line);
        return line->err;
    }
    *out_rows = make_rows(fake, &unscripted);
    return SVC_DB_OK;
}

static enum svc_db_err connect_fake(struct svc_db *db, uint64_t timeout_ms)
{
    (void)db, (void)timeout_ms;
    return SVC_DB_OK;
}

static enum svc_db_err script(struct svc_db *db, const char *sql)
{
    (void)db, (void)sql;
    return SVC_DB_OK;
}

static void drop(struct svc_db *db)
{
    (void)db;
}

static void close_fake(struct svc_db *db)
{
    struct fake *fake = fake_of(db);
    for (size_t i = 0; i < fake->statement_count; i++) {
        for (size_t k = 0; k < fake->statements[i].param_count; k++)
            wh_free(fake->statements[i].params[k]);
        wh_free(fake->statements[i].sql);
    }
    wh_free(fake);
}

static const struct svc_db_ops ops = {.connect = connect_fake,
                                      .query = query,
                                      .script = script,
                                      .drop = drop,
                                      .close = close_fake};

void svc_test_db_open(struct svc_ctx *ctx)
{
    struct fake *fake = wh_calloc(1, sizeof *fake);
    WH_ASSERT(fake != NULL && !ctx->db);
    fake->db = (struct svc_db){.ops = &ops, .is_in_tx = true, .deadline_ms = UINT64_MAX};
    ctx->db = &fake->db;
}

static void add_line(struct svc_ctx *ctx, struct line line)
{
    struct fake *fake = fake_of(ctx->db);
    WH_ASSERT(fake->line_count < SVC_TEST_DB_LINES_MAX);
    fake->lines[fake->line_count++] = line;
    fake->db.err = SVC_DB_OK; /* a new script begins a new transaction */
}

void svc_test_db_rows(struct svc_ctx *ctx,
                      const char *part,
                      size_t columns,
                      const char *const *cells,
                      size_t cell_count)
{
    WH_ASSERT(columns > 0 && cell_count % columns == 0);
    add_line(ctx, (struct line){.part = part,
                                .columns = columns,
                                .cells = cells,
                                .cell_count = cell_count,
                                .affected = (int64_t)(cell_count / columns)});
}

void svc_test_db_touches(struct svc_ctx *ctx, const char *part, int64_t affected)
{
    add_line(ctx, (struct line){.part = part, .affected = affected});
}

void svc_test_db_fails(struct svc_ctx *ctx, const char *part, enum svc_db_err err)
{
    add_line(ctx, (struct line){.part = part, .err = err});
}

size_t svc_test_db_count(struct svc_ctx *ctx, const char *part)
{
    const struct fake *fake = fake_of(ctx->db);
    size_t count = 0;
    for (size_t i = 0; i < fake->statement_count; i++)
        count += strstr(fake->statements[i].sql, part) != NULL;
    return count;
}

const char *svc_test_db_param(struct svc_ctx *ctx, const char *part, size_t param)
{
    const struct fake *fake = fake_of(ctx->db);
    for (size_t i = fake->statement_count; i-- > 0;) {
        const struct statement *statement = &fake->statements[i];
        if (strstr(statement->sql, part) && param < statement->param_count)
            return statement->params[param];
    }
    return NULL;
}
