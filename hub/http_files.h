/*
 * Files of the demo page: read, tagged and compressed once at the start;
 * nothing is looked up on disk later.  Read-only afterwards.
 */
#ifndef HUB_HTTP_FILES_H
#define HUB_HTTP_FILES_H

#include "common/base/buf.h"
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
 * Appends the folder that `cmake --install` puts the page into: share/wirehub/demo, seen from the
 * folder above that of this program, wherever both were moved.  It need not be there.  WH_EIO: the
 * program cannot tell where it is (no /proc).
 */
WH_MUST_CHECK enum wh_err http_files_installed_dir(struct wh_buf *out_dir);

/*
 * Answer a GET or HEAD: the file, compressed for who takes that, 304 for who has it, or the way to
 * the page.  False: there is no such file.
 */
bool http_files_answer(const struct http_files *files,
                       const struct http_request *request,
                       struct http_response *response);

#endif
