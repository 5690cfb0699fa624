/*
 * Files of the demo page: read, tagged and compressed once at the start;
 * nothing is looked up on disk later.  Read-only afterwards.
 */
#ifndef HUB_HTTP_FILES_H
#define HUB_HTTP_FILES_H

#include "common/base/err.h"

#include <stdbool.h>

struct http_files;
struct http_request;
struct http_response;

/* Reads the regular files of `dir` (no sub-folders).  WH_ENOTFOUND, WH_EIO, WH_ELIMIT (more than
 * 64), WH_ENOMEM. */
WH_MUST_CHECK enum wh_err http_files_load(const char *dir, struct http_files **out_files);
void http_files_free(struct http_files *files);

/*
 * Answer a GET or HEAD: the file, compressed for who takes that, 304 for who has it, or the way to
 * the page.  False: there is no such file.
 */
bool http_files_answer(const struct http_files *files,
                       const struct http_request *request,
                       struct http_response *response);

#endif
