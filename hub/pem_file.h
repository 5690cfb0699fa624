/*
 * A PEM option names a file or is the text itself.  libwebsockets reads whole
 * chains only from files, so text goes into a file that exists in memory and
 * for this process only.
 */
#ifndef HUB_PEM_FILE_H
#define HUB_PEM_FILE_H

#include <stdbool.h>

struct pem_file {
    int fd; /* -1: the option names a file of its own */
    char path[32];
};

/*
 * `out_path` becomes the path under which `value` can be read until pem_file_close: `value` itself
 * unless it is text (NULL and "" too).  False when there is no memory or descriptor for a text.
 */
bool pem_file_open(struct pem_file *file, const char *value, const char **out_path);
void pem_file_close(struct pem_file *file);

#endif
