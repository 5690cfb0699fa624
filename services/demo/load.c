#include "services/demo/load.h"

#include <stddef.h>

void load_init(struct load *load)
{
    *load = (struct load){0};
    pthread_mutex_init(&load->lock, NULL);
}

void load_deinit(struct load *load)
{
    pthread_mutex_destroy(&load->lock);
}

void load_set(struct load *load, uint32_t rate, uint64_t now_ms, uint64_t lifetime_ms)
{
    pthread_mutex_lock(&load->lock);
    load->rate = rate;
    load->off_ms = rate > 0 ? now_ms + lifetime_ms : 0;
    pthread_mutex_unlock(&load->lock);
}

uint32_t load_rate(struct load *load, uint64_t now_ms, uint64_t *out_off_in_ms)
{
    pthread_mutex_lock(&load->lock);
    uint64_t left_ms = load->off_ms > now_ms ? load->off_ms - now_ms : 0;
    uint32_t rate = left_ms > 0 ? load->rate : 0;
    pthread_mutex_unlock(&load->lock);
    if (out_off_in_ms)
        *out_off_in_ms = left_ms;
    return rate;
}
