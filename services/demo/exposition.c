#include "services/demo/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_MAX = 64, NAME_MAX_BYTES = 128 };

struct sample {
    struct wh_slice name;
    struct wh_slice labels; /* between the braces; empty = none */
    double value;
};

static bool read_number(struct wh_slice text, double *out)
{
    char copy[NUMBER_MAX];
    char *end;
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    snprintf(copy, sizeof(copy), "%.*s", WH_SLICE_ARGS(text));
    *out = strtod(copy, &end);
    return *end == '\0' && !isnan(*out);
}

static struct wh_slice take_line(struct wh_slice *page)
{
    const char *end = memchr(page->ptr, '\n', page->len);
    struct wh_slice line = wh_slice(page->ptr, end ? (size_t)(end - page->ptr) : page->len);
    *page = wh_slice_from(*page, end ? line.len + 1 : line.len);
    return line;
}

/* name{labels} value; a time stamp behind it, which the hub does not write, makes it unreadable. */
static bool read_sample(struct wh_slice line, struct sample *out)
{
    const char *blank = line.len > 0 ? memrchr(line.ptr, ' ', line.len) : NULL;
    if (!blank || line.ptr[0] == '#')
        return false;
    struct wh_slice series = wh_slice(line.ptr, (size_t)(blank - line.ptr));
    const char *brace = memchr(series.ptr, '{', series.len);
    size_t name_len = brace ? (size_t)(brace - series.ptr) : series.len;
    out->name = wh_slice(series.ptr, name_len);
    out->labels = WH_SLICE_LITERAL("");
    if (brace) {
        if (series.len < name_len + 2 || series.ptr[series.len - 1] != '}')
            return false;
        out->labels = wh_slice(brace + 1, series.len - name_len - 2);
    }
    return read_number(wh_slice_from(line, series.len + 1), &out->value);
}

double exposition_sum(struct wh_slice page, const char *name, bool *out_found)
{
    struct sample sample;
    double sum = 0;
    bool is_found = false;
    while (page.len > 0) {
        if (!read_sample(take_line(&page), &sample) || !wh_slice_equal_str(sample.name, name))
            continue;
        sum += sample.value;
        is_found = true;
    }
    if (out_found)
        *out_found = is_found;
    return sum;
}

/* The label le="…"; it is the last one the hub writes, but need not be. */
static bool read_bound(struct wh_slice labels, double *out)
{
    static const char key[] = "le=\"";
    size_t key_len = sizeof(key) - 1;
    for (size_t at = 0; at + key_len < labels.len; at++) {
        bool is_start = at == 0 || labels.ptr[at - 1] == ',';
        if (!is_start || memcmp(labels.ptr + at, key, key_len) != 0)
            continue;
        struct wh_slice rest = wh_slice_from(labels, at + key_len);
        const char *quote = memchr(rest.ptr, '"', rest.len);
        return quote && read_number(wh_slice(rest.ptr, (size_t)(quote - rest.ptr)), out);
    }
    return false;
}

static void add_bucket(struct exposition_histogram *histogram, double le, double value)
{
    size_t at = 0;
    while (at < histogram->count && histogram->le[at] < le)
        at++;
    if (at < histogram->count && histogram->le[at] == le) {
        histogram->below[at] += value;
        return;
    }
    if (histogram->count == EXPOSITION_BUCKETS_MAX)
        return;
    for (size_t i = histogram->count++; i > at; i--) {
        histogram->le[i] = histogram->le[i - 1];
        histogram->below[i] = histogram->below[i - 1];
    }
    histogram->le[at] = le;
    histogram->below[at] = value;
}

void exposition_histogram(struct wh_slice page, const char *name, struct exposition_histogram *out)
{
    char bucket[NAME_MAX_BYTES];
    struct sample sample;
    double le;
    *out = (struct exposition_histogram){0};
    snprintf(bucket, sizeof(bucket), "%s_bucket", name);
    while (page.len > 0)
        if (read_sample(take_line(&page), &sample) && wh_slice_equal_str(sample.name, bucket) &&
            read_bound(sample.labels, &le))
            add_bucket(out, le, sample.value);
}

bool exposition_since(const struct exposition_histogram *now,
                      const struct exposition_histogram *before,
                      struct exposition_histogram *out)
{
    *out = *now;
    for (size_t i = 0; i < before->count; i++) {
        if (i >= now->count || now->le[i] != before->le[i] || now->below[i] < before->below[i])
            return false;
        out->below[i] -= before->below[i];
    }
    return true;
}

double exposition_total(const struct exposition_histogram *histogram)
{
    return histogram->count > 0 ? histogram->below[histogram->count - 1] : 0;
}

double exposition_quantile(const struct exposition_histogram *histogram, double q)
{
    double wanted = q * exposition_total(histogram);
    size_t at = 0;
    while (at + 1 < histogram->count && histogram->below[at] < wanted)
        at++;
    double low = at > 0 ? histogram->le[at - 1] : 0;
    double before = at > 0 ? histogram->below[at - 1] : 0;
    double in_bucket = histogram->below[at] - before;
    if (isinf(histogram->le[at]) || in_bucket <= 0)
        return low;
    return low + (histogram->le[at] - low) * (wanted - before) / in_bucket;
}
