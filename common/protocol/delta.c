/*
 * Creating: what both sides begin and end with is found by comparing, which is all there is in most
 * updates.  For the middle, every whole block of the source goes into a table by its hash, and a
 * window of one block slides over the target with a hash that rolls along.  Where a block is met
 * again, the match is stretched in both directions and becomes a copy; what lies between copies
 * becomes inserts.
 *
 * That this stays linear: of blocks with one hash only the first CANDIDATES_MAX are looked at, and
 * what comparing costs is at most that many times the length of the match that is then taken, which
 * the window never visits again.
 *
 * Characters: `done`, how far the target is written, only ever stands between two of them, since a
 * copy is cut to whole characters before it is taken.  Inserts lie between copies, so they are
 * whole as well.  Where in a character of the source a copy begins does not show in the patch.
 */
#include "common/protocol/delta.h"

#include "common/base/alloc.h"
#include "common/base/utf8.h"

enum { BLOCK = 16, CANDIDATES_MAX = 16 };

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

static uint32_t checksum(struct wh_slice text)
{
    const unsigned char *bytes = (const unsigned char *)text.ptr;
    uint32_t sum = 0;
    size_t i = 0;
    for (; i + 4 <= text.len; i += 4)
        sum += (uint32_t)bytes[i] << 24 | (uint32_t)bytes[i + 1] << 16 |
               (uint32_t)bytes[i + 2] << 8 | bytes[i + 3];
    for (unsigned shift = 24; i < text.len; i++, shift -= 8)
        sum += (uint32_t)bytes[i] << shift;
    return sum;
}

/* Creating. */

/* Blocks of the source by hash.  Numbers of blocks are kept plus one; 0 is none. */
struct table {
    uint32_t *heads; /* 1 << bits of them */
    uint32_t *next;  /* for each block, the next with its head */
    unsigned bits;
};

struct creation {
    enum wh_delta_mode mode;
    struct wh_slice source;
    struct wh_slice target;
    size_t done; /* bytes of the target that the commands so far make */
    struct wh_buf *out;
};

struct match {
    size_t from; /* in the source */
    size_t at;   /* in the target */
    size_t len;
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t digit_count(size_t number)
{
    size_t count = 1;
    while (number >>= 6)
        count++;
    return count;
}

static void put_number(struct wh_buf *out, size_t number)
{
    for (size_t i = digit_count(number); i-- > 0;)
        wh_buf_append_char(out, digits[number >> (6 * i) & 63]);
}

static bool is_boundary(const struct creation *creation, size_t at)
{
    return creation->mode == WH_DELTA_BYTES || at == creation->target.len ||
           ((unsigned char)creation->target.ptr[at] & 0xC0) != 0x80;
}

static void put_inserts(struct creation *creation, size_t end)
{
    while (creation->done < end) {
        size_t stop = creation->done + smaller(end - creation->done, WH_DELTA_RUN_MAX);
        while (!is_boundary(creation, stop))
            stop--;
        size_t count = stop - creation->done;
        WH_ASSERT(count > 0);
        put_number(creation->out, count);
        wh_buf_append_char(creation->out, ':');
        wh_buf_append(creation->out, creation->target.ptr + creation->done, count);
        creation->done = stop;
    }
}

static void put_copies(struct creation *creation, struct match match)
{
    while (match.len > 0) {
        size_t count = smaller(match.len, WH_DELTA_RUN_MAX);
        put_number(creation->out, count);
        wh_buf_append_char(creation->out, '@');
        put_number(creation->out, match.from);
        wh_buf_append_char(creation->out, ',');
        match.from += count;
        match.len -= count;
        creation->done += count;
    }
}

static void cut_front(struct match *match, size_t count)
{
    match->from += count;
    match->at += count;
    match->len -= count;
}

/* Whether copying is shorter than inserting, even when it splits one insert in two. */
static bool is_worth_it(struct match match)
{
    enum { MARKS = 2, SECOND_INSERT = 3 };
    return match.len > digit_count(match.len) + digit_count(match.from) + MARKS + SECOND_INSERT;
}

/* Write what leads up to the match and the copy itself; false when it is too short to be one. */
static bool take_match(struct creation *creation, struct match match)
{
    if (match.at < creation->done)
        cut_front(&match, smaller(creation->done - match.at, match.len));
    while (match.len > 0 && !is_boundary(creation, match.at))
        cut_front(&match, 1);
    while (match.len > 0 && !is_boundary(creation, match.at + match.len))
        match.len--;
    if (!is_worth_it(match))
        return false;
    put_inserts(creation, match.at);
    put_copies(creation, match);
    return true;
}

/* A polynomial of the block's bytes; rolling takes out the first and lets the next in. */
#define FACTOR        UINT32_C(0x9E3779B1)
#define FACTOR_POW_2  (FACTOR * FACTOR)
#define FACTOR_POW_4  (FACTOR_POW_2 * FACTOR_POW_2)
#define FACTOR_POW_8  (FACTOR_POW_4 * FACTOR_POW_4)
#define FACTOR_POW_15 (FACTOR_POW_8 * FACTOR_POW_4 * FACTOR_POW_2 * FACTOR)

static uint32_t hash_block(const char *block)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < BLOCK; i++)
        hash = hash * FACTOR + (unsigned char)block[i];
    return hash;
}

static uint32_t roll(uint32_t hash, char out, char in)
{
    return (hash - (unsigned char)out * FACTOR_POW_15) * FACTOR + (unsigned char)in;
}

/* The low bits of a polynomial know little of its upper terms, so multiply once more. */
static uint32_t *find_head(const struct table *table, uint32_t hash)
{
    return &table->heads[(hash * UINT32_C(0x85EBCA6B)) >> (32 - table->bits)];
}

static enum wh_err table_init(struct table *table, struct wh_slice source)
{
    size_t blocks = source.len / BLOCK;
    table->bits = 4;
    while (((size_t)1 << table->bits) < blocks)
        table->bits++;
    size_t heads = (size_t)1 << table->bits;
    table->heads = wh_calloc(heads + blocks, sizeof(*table->heads));
    if (!table->heads)
        return WH_ENOMEM;
    table->next = table->heads + heads;
    /* From the end, so that a chain begins with the first block of its hash. */
    for (size_t block = blocks; block-- > 0;) {
        uint32_t *head = find_head(table, hash_block(source.ptr + block * BLOCK));
        table->next[block] = *head;
        *head = (uint32_t)block + 1;
    }
    return WH_OK;
}

/* The match around a block of the source that may equal the one at `at`, as far as it goes in both
 * directions; of no length when they differ. */
static struct match stretch(const struct creation *creation, size_t from, size_t at)
{
    const char *source = creation->source.ptr, *target = creation->target.ptr;
    struct match match = {from, at, 0};
    if (memcmp(source + from, target + at, BLOCK) != 0)
        return match;
    size_t room = smaller(creation->source.len - from, creation->target.len - at);
    for (match.len = BLOCK; match.len < room; match.len++)
        if (source[from + match.len] != target[at + match.len])
            break;
    while (match.from > 0 && match.at > creation->done &&
           source[match.from - 1] == target[match.at - 1]) {
        match.from--;
        match.at--;
        match.len++;
    }
    return match;
}

static struct match find_match(const struct creation *creation,
                               const struct table *table,
                               uint32_t hash,
                               size_t at)
{
    struct match best = {0};
    uint32_t entry = *find_head(table, hash);
    for (int i = 0; entry != 0 && i < CANDIDATES_MAX; i++) {
        struct match match = stretch(creation, (size_t)(entry - 1) * BLOCK, at);
        if (match.len > best.len)
            best = match;
        entry = table->next[entry - 1];
    }
    return best;
}

/* Write commands for the target from `done` to somewhere before or, by a long copy, past `end`. */
static enum wh_err scan(struct creation *creation, size_t end)
{
    struct table table;
    const char *target = creation->target.ptr;
    size_t at = creation->done;
    if (creation->source.len < BLOCK || end < at + BLOCK)
        return WH_OK;
    enum wh_err err = table_init(&table, creation->source);
    if (err)
        return err;
    uint32_t hash = hash_block(target + at);
    while (!err) {
        struct match match = find_match(creation, &table, hash, at);
        if (match.len > 0 && take_match(creation, match)) {
            err = wh_buf_error(creation->out);
            at = creation->done;
            if (end < at + BLOCK)
                break;
            hash = hash_block(target + at);
            continue;
        }
        if (end < at + BLOCK + 1)
            break;
        hash = roll(hash, target[at], target[at + BLOCK]);
        at++;
    }
    wh_free(table.heads);
    return err;
}

static size_t common_prefix(struct wh_slice a, struct wh_slice b)
{
    size_t len = 0;
    while (len < a.len && len < b.len && a.ptr[len] == b.ptr[len])
        len++;
    return len;
}

static size_t common_suffix(struct wh_slice a, struct wh_slice b)
{
    size_t len = 0;
    while (len < a.len && len < b.len && a.ptr[a.len - len - 1] == b.ptr[b.len - len - 1])
        len++;
    return len;
}

static enum wh_err put_commands(struct creation *creation)
{
    struct wh_slice source = creation->source, target = creation->target;
    (void)take_match(creation, (struct match){0, 0, common_prefix(source, target)});
    struct wh_slice rest = wh_slice(target.ptr + creation->done, target.len - creation->done);
    size_t suffix = common_suffix(source, rest);
    enum wh_err err = scan(creation, target.len - suffix);
    if (err)
        return err;
    (void)take_match(creation, (struct match){source.len - suffix, target.len - suffix, suffix});
    put_inserts(creation, target.len);
    return WH_OK;
}

enum wh_err wh_delta_create(enum wh_delta_mode mode,
                            struct wh_slice source,
                            struct wh_slice target,
                            struct wh_buf *out)
{
    if (!target.ptr)
        target = WH_SLICE_LITERAL("");
    struct creation creation = {mode, source, target, 0, out};
    size_t start = out->len;
    if (source.len > WH_DELTA_SIZE_MAX || target.len > WH_DELTA_SIZE_MAX)
        return WH_ELIMIT;
    if (mode == WH_DELTA_UTF8 && !wh_utf8_is_valid(target))
        return WH_EENCODING;
    put_number(out, target.len);
    wh_buf_append_char(out, '\n');
    enum wh_err err = put_commands(&creation);
    put_number(out, checksum(target));
    wh_buf_append_char(out, ';');
    if (!err)
        err = wh_buf_error(out);
    if (err)
        wh_buf_truncate(out, start);
    return err;
}

/* Applying. */

struct reader {
    const char *at;
    const char *end;
};

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 10;
    if (c == '_')
        return 36;
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 37;
    return c == '~' ? 63 : -1;
}

/* A number of one digit or more that fits 32 bits. */
static bool take_number(struct reader *reader, uint32_t *out_number)
{
    const char *start = reader->at;
    uint32_t number = 0;
    for (; reader->at < reader->end; reader->at++) {
        int digit = digit_value(*reader->at);
        if (digit < 0)
            break;
        if (number > UINT32_MAX >> 6)
            return false;
        number = number << 6 | (uint32_t)digit;
    }
    *out_number = number;
    return reader->at > start;
}

static bool take_char(struct reader *reader, char c)
{
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

/* The rest of a command behind its count: append what it makes, at most `room` bytes. */
static bool take_command(struct reader *reader,
                         uint32_t count,
                         size_t room,
                         struct wh_slice source,
                         struct wh_buf *out)
{
    uint32_t offset;
    if (count > room)
        return false;
    if (take_char(reader, ':')) {
        if (count > (size_t)(reader->end - reader->at))
            return false;
        wh_buf_append(out, reader->at, count);
        reader->at += count;
        return true;
    }
    if (!take_char(reader, '@') || !take_number(reader, &offset) || !take_char(reader, ',') ||
        offset > source.len || count > source.len - offset)
        return false;
    if (count > 0)
        wh_buf_append(out, source.ptr + offset, count);
    return true;
}

static enum wh_err apply(struct reader reader,
                         struct wh_slice source,
                         size_t size_max,
                         struct wh_buf *out)
{
    uint32_t size, count;
    size_t start = out->len;
    if (!take_number(&reader, &size) || !take_char(&reader, '\n'))
        return WH_EFORMAT;
    if (size > size_max)
        return WH_ELIMIT;
    for (;;) {
        size_t made = out->len - start;
        if (!take_number(&reader, &count))
            return WH_EFORMAT;
        if (take_char(&reader, ';'))
            break;
        if (!take_command(&reader, count, size - made, source, out))
            return WH_EFORMAT;
        enum wh_err err = wh_buf_error(out);
        if (err)
            return err;
    }
    struct wh_slice all = wh_buf_slice(out);
    struct wh_slice made = wh_slice(all.ptr + start, all.len - start);
    bool is_whole = reader.at == reader.end && made.len == size && checksum(made) == count;
    return is_whole ? WH_OK : WH_EFORMAT;
}

enum wh_err wh_delta_apply(struct wh_slice source,
                           struct wh_slice patch,
                           size_t size_max,
                           struct wh_buf *out)
{
    size_t start = out->len;
    enum wh_err err = wh_buf_error(out);
    if (!err && patch.len == 0)
        err = WH_EFORMAT;
    if (!err)
        err = apply((struct reader){patch.ptr, patch.ptr + patch.len}, source, size_max, out);
    if (err)
        wh_buf_truncate(out, start);
    return err;
}
