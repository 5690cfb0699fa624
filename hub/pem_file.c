/*
 * memfd_create and its name under /proc/self/fd, which a process may open even
 * when it may not be dumped.
 */
#include "hub/pem_file.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool pem_file_open(struct pem_file *file, const char *value, const char **out_path)
{
    *file = (struct pem_file){.fd = -1};
    if (value == NULL || strstr(value, "-----BEGIN ") == NULL) {
        *out_path = value;
        return true;
    }
    size_t len = strlen(value);
    file->fd = memfd_create("wirehub-pem", MFD_CLOEXEC);
    if (file->fd < 0 || write(file->fd, value, len) != (ssize_t)len) {
        pem_file_close(file);
        return false;
    }
    snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
    *out_path = file->path;
    return true;
}

void pem_file_close(struct pem_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}
