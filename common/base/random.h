/*
 * Random bytes from the kernel (getrandom), buffered per thread; a child of
 * fork never repeats its parent's.  wh_random_seed makes the calling thread's
 * stream repeatable for simulations; never outside tests.
 *
 * Any thread.  A kernel without randomness is a broken machine: we abort.
 */
#ifndef WH_BASE_RANDOM_H
#define WH_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void wh_random_bytes(void *out, size_t len);
uint64_t wh_random_u64(void);

/* Uniform in [0, bound); 0 when bound is 0. */
uint64_t wh_random_below(uint64_t bound);

/* RFC 9562 text forms, 36 characters and NUL. */
void wh_random_uuid_v4(char out[37]);
void wh_random_uuid_v7(char out[37]);

/* `len` letters [a-zA-Z] and NUL: `out` holds len + 1. */
void wh_random_letters(char *out, size_t len);

void wh_random_seed(uint64_t seed);

/* Straight from the kernel, seeded or not: for keys that live as long as the process. */
void wh_random_kernel(void *out, size_t len);

#endif
