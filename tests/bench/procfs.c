/*
 * Children are found by one scan of /proc for parents, repeated until nothing new appears:
 * /proc/PID/task/TID/children would be shorter but is not in every kernel.
 */
#include "procfs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stat_line {
    pid_t parent;
    double cpu_us;
    uint64_t rss_bytes;
};

static bool read_stat(pid_t pid, struct stat_line *out_line)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';

    /* The second field is the name in brackets and may hold anything, brackets and blanks too. */
    const char *rest = strrchr(text, ')');
    int parent = 0;
    unsigned long long user = 0;
    unsigned long long system = 0;
    long long pages = 0;
    if (rest == NULL || sscanf(rest + 1,
                               " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu"
                               " %*d %*d %*d %*d %*d %*d %*u %*u %lld",
                               &parent, &user, &system, &pages) != 4) {
        return false;
    }
    out_line->parent = parent;
    out_line->cpu_us = (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
    out_line->rss_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static bool contains(const struct process_set *set, pid_t pid)
{
    for (int i = 0; i < set->count; i++) {
        if (set->pids[i] == pid) {
            return true;
        }
    }
    return false;
}

/* One pass over /proc; true when a process joined the set. */
static bool add_generation(struct process_set *set)
{
    bool added = false;
    DIR *proc = opendir("/proc");
    if (proc == NULL) {
        return false;
    }
    for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        struct stat_line line;
        if (pid <= 0 || contains(set, pid) || set->count == PROCESSES_MAX ||
            !read_stat(pid, &line) || !contains(set, line.parent)) {
            continue;
        }
        set->pids[set->count++] = pid;
        added = true;
    }
    closedir(proc);
    return added;
}

void process_set_add_children(struct process_set *set)
{
    while (add_generation(set)) {
    }
}

bool process_set_measure(const struct process_set *set, struct process_cost *out_cost)
{
    struct process_cost cost = {0};
    for (int i = 0; i < set->count; i++) {
        struct stat_line line;
        if (!read_stat(set->pids[i], &line)) {
            return false;
        }
        cost.cpu_us += line.cpu_us;
        cost.rss_bytes += line.rss_bytes;
    }
    *out_cost = cost;
    return true;
}
