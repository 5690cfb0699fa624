/*
 * The broker itself: streams, and the book of everything that was published,
 * which is also what the clients are checked against.
 *
 * A life of a stream is what one epoch names.  A stream that comes back from
 * a snapshot begins a new life with the old publications up to there.
 */
#include "sim_internal.h"

#include "common/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
    WH_ASSERT(memory != NULL);
    return memory;
}

uint32_t sim_publication_new(struct sim *sim, int channel)
{
    struct sim_server *server = &sim->server;
    if (server->publication_count % 256 == 0)
        server->publications =
            must(realloc(server->publications,
                         (server->publication_count + 256) * sizeof(*server->publications)));
    if (server->publication_count == 0) /* 0 is none */
        server->publications[server->publication_count++] = (struct sim_publication){0};
    server->publications[server->publication_count] = (struct sim_publication){.channel = channel};
    return server->publication_count++;
}

void sim_write_id(uint32_t id, char out[SIM_TEXT_MAX])
{
    snprintf(out, SIM_TEXT_MAX, "\"#%06u#\"", (unsigned)id);
}

/* In any encoding the digits stand between their marks. */
uint32_t sim_read_id(struct wh_slice bytes)
{
    for (size_t i = 0; i + 8 <= bytes.len; i++)
        if (bytes.ptr[i] == '#' && bytes.ptr[i + 7] == '#')
            return (uint32_t)strtoul(bytes.ptr + i + 1, NULL, 10);
    return 0;
}

struct sim_life *sim_find_life(struct sim *sim, int channel, struct wh_slice epoch)
{
    for (size_t i = sim->server.life_count; i-- > 0;) {
        struct sim_life *life = sim->server.lives[i];
        if (life->channel == channel && wh_slice_equal_str(epoch, life->epoch))
            return life;
    }
    return NULL;
}

struct sim_life *sim_begin_life(struct sim *sim, int channel)
{
    struct sim_server *server = &sim->server;
    struct sim_life *life = must(calloc(1, sizeof(*life)));
    life->channel = channel;
    life->kept_from = 1;
    snprintf(life->epoch, sizeof(life->epoch), "epoch%u", (unsigned)++server->epochs);
    server->lives = must(realloc(server->lives, (server->life_count + 1) * sizeof(void *)));
    server->lives[server->life_count++] = life;
    server->streams[channel] = life;
    sim_trace(sim, "server: %s begins %s", sim_channels[channel].name, life->epoch);
    return life;
}

static void append(struct sim_life *life, uint32_t id)
{
    if (life->top == life->capacity) {
        life->capacity = life->capacity ? life->capacity * 2 : 16;
        life->ids = must(realloc(life->ids, life->capacity * sizeof(*life->ids)));
    }
    life->ids[life->top++] = id;
}

void sim_server_publish(struct sim *sim, uint32_t id, uint64_t history_size)
{
    struct sim_server *server = &sim->server;
    struct sim_publication *pub = &server->publications[id];
    pub->sequence = ++server->sequence;
    sim->report->publications++;
    if (history_size == 0)
        return;
    struct sim_life *life = server->streams[pub->channel];
    if (life == NULL)
        life = sim_begin_life(sim, pub->channel);
    append(life, id);
    if (life->top - life->kept_from + 1 > history_size)
        life->kept_from = life->top - history_size + 1;
}

void sim_server_snapshot(struct sim *sim)
{
    struct sim_server *server = &sim->server;
    server->snapshot.is_taken = true;
    for (int i = 0; i < SIM_CHANNELS; i++) {
        const struct sim_life *life = server->streams[i];
        server->snapshot.has[i] = life != NULL;
        if (life == NULL)
            continue;
        server->snapshot.top[i] = life->top;
        server->snapshot.kept_from[i] = life->kept_from;
        memcpy(server->snapshot.epoch[i], life->epoch, SIM_EPOCH_MAX);
    }
}

/* A stream goes back to the snapshot: with a new epoch, unless nothing is lost by it. */
static void restore(struct sim *sim, int channel)
{
    struct sim_server *server = &sim->server;
    struct sim_life *old =
        sim_find_life(sim, channel, wh_slice_from_str(server->snapshot.epoch[channel]));
    uint64_t top = server->snapshot.top[channel];
    if (server->streams[channel] == old && old->top == top)
        return;
    if (sim->options->is_broker_lying) {
        old->top = top;
        old->kept_from = server->snapshot.kept_from[channel];
        server->streams[channel] = old;
        return;
    }
    struct sim_life *life = sim_begin_life(sim, channel);
    for (uint64_t i = 0; i < top; i++)
        append(life, old->ids[i]);
    life->kept_from = server->snapshot.kept_from[channel];
}

void sim_server_restart(struct sim *sim, enum sim_restart kind)
{
    struct sim_server *server = &sim->server;
    for (int i = 0; i < SIM_CHANNELS; i++) {
        if (kind == SIM_RESTART_SNAPSHOT && server->snapshot.is_taken && server->snapshot.has[i])
            restore(sim, i);
        else if (kind != SIM_RESTART_SAME)
            server->streams[i] = NULL;
    }
    if (kind == SIM_RESTART_EMPTY)
        server->snapshot.is_taken = false;
}

void sim_server_forget(struct sim *sim, int channel, bool is_meta_too)
{
    struct sim_life *life = sim->server.streams[channel];
    if (life)
        life->kept_from = life->top + 1;
    if (is_meta_too)
        sim->server.streams[channel] = NULL;
}

void sim_server_deinit(struct sim *sim)
{
    struct sim_server *server = &sim->server;
    for (size_t i = 0; i < server->life_count; i++) {
        free(server->lives[i]->ids);
        free(server->lives[i]);
    }
    free(server->lives);
    free(server->publications);
}
