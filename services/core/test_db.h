/*
 * A database for unit tests of handlers: answers from a script, and what was
 * asked.  Nothing but the handler runs: a transaction counts as open, svc_tx
 * calls its body, and what PostgreSQL itself would say (constraints, locks,
 * types) is for integration tests.
 *
 *     svc_test_db_open(ctx);
 *     svc_test_db_rows(ctx, "from product", 2, (const char *[]){"Mug", "7"}, 2);
 *     svc_test_db_fails(ctx, "insert into orders", SVC_DB_NOT_UNIQUE);
 *     … svc_test_call(ctx, …) …
 *     assert_string_equal(svc_test_db_param(ctx, "update product", 0), "3");
 *
 * Each line of the script answers one statement, the first that contains its text; a statement
 * without a line gets no rows and touched one.  svc_test_close frees it.
 */
#ifndef SERVICES_CORE_TEST_DB_H
#define SERVICES_CORE_TEST_DB_H

#include "services/core/db.h"
#include "services/core/test.h"

enum { SVC_TEST_DB_LINES_MAX = 64, SVC_TEST_DB_STATEMENTS_MAX = 256 };

void svc_test_db_open(struct svc_ctx *ctx);

/* `cells`, row by row, NULL for NULL; borrowed, as is `part`. */
void svc_test_db_rows(struct svc_ctx *ctx,
                      const char *part,
                      size_t columns,
                      const char *const *cells,
                      size_t cell_count);
/* Rows that an INSERT, UPDATE or DELETE touched. */
void svc_test_db_touches(struct svc_ctx *ctx, const char *part, int64_t affected);
void svc_test_db_fails(struct svc_ctx *ctx, const char *part, enum svc_db_err err);

/* How many statements contained `part`, and the parameter (from 0) of the last of them as text;
 * NULL when there was none, or it was NULL.  Valid until the next statement. */
size_t svc_test_db_count(struct svc_ctx *ctx, const char *part);
const char *svc_test_db_param(struct svc_ctx *ctx, const char *part, size_t param);

#endif
