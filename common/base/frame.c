/*
 * One block: the struct, then the wire bytes.  Nothing changes `bytes` after
 * the constructor returned, which is what makes sharing between sockets safe.
 */
#include "common/base/frame.h"

#include "common/base/alloc.h"

static const size_t payload_max = (size_t)1 << 30;

/* FIN and opcode, then the shortest of the three length forms; bytes written. */
static size_t encode_header(unsigned char out[WH_FRAME_HEADER_MAX],
                            enum wh_opcode opcode,
                            size_t payload_len)
{
    out[0] = (unsigned char)(0x80 | opcode);
    if (payload_len <= 125) {
        out[1] = (unsigned char)payload_len;
        return 2;
    }
    size_t extended = payload_len <= UINT16_MAX ? 2 : 8;
    out[1] = extended == 2 ? 126 : 127;
    for (size_t i = 0; i < extended; i++)
        out[2 + i] = (unsigned char)((uint64_t)payload_len >> (8 * (extended - 1 - i)));
    return 2 + extended;
}

/* An unfilled frame of `len` wire bytes with one reference. */
static struct wh_frame *frame_alloc(size_t len)
{
    struct wh_frame *frame = wh_malloc(sizeof *frame + len);
    if (!frame)
        return NULL;
    frame->refs = 1;
    frame->len = (uint32_t)len;
    return frame;
}

enum wh_err wh_frame_new(enum wh_opcode opcode,
                         struct wh_slice payload,
                         struct wh_frame **out_frame)
{
    if (payload.len > payload_max)
        return WH_ELIMIT;
    unsigned char header[WH_FRAME_HEADER_MAX];
    size_t header_len = encode_header(header, opcode, payload.len);
    struct wh_frame *frame = frame_alloc(header_len + payload.len);
    if (!frame)
        return WH_ENOMEM;
    memcpy(frame->bytes, header, header_len);
    if (payload.len != 0)
        memcpy(frame->bytes + header_len, payload.ptr, payload.len);
    *out_frame = frame;
    return WH_OK;
}

struct wh_frame *wh_frame_ref(struct wh_frame *frame)
{
    WH_ASSERT(frame->refs > 0 && frame->refs < UINT32_MAX);
    frame->refs++;
    return frame;
}

void wh_frame_unref(struct wh_frame *frame)
{
    if (!frame)
        return;
    WH_ASSERT(frame->refs > 0);
    if (--frame->refs == 0)
        wh_free(frame);
}

void wh_frame_write_header(struct wh_buf *buf, enum wh_opcode opcode, size_t payload_len)
{
    unsigned char header[WH_FRAME_HEADER_MAX];
    wh_buf_append(buf, header, encode_header(header, opcode, payload_len));
}
