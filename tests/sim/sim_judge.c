/*
 * The judge: every word of the hub is held against the book of the broker
 * (sim_server.c) and against what this client was told before.
 */
#include "sim_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DELIVERY_MS = 500 /* from a node to a client that reads */ };

/* Whether the broker took this publication, and after the one before. */
static void judge_order(struct sim_client *client, int channel, uint32_t id)
{
    struct sim *sim = client->sim;
    struct sim_sub *sub = &client->subs[channel];
    if (id == 0 || id >= sim->server.publication_count ||
        sim->server.publications[id].channel != channel ||
        sim->server.publications[id].sequence == 0) {
        sim_fail(sim, "client %d: %s: #%u was never published there", client->index,
                 sim_channels[channel].name, id);
        return;
    }
    uint64_t sequence = sim->server.publications[id].sequence;
    if (sequence <= sub->last_sequence)
        sim_fail(sim, "client %d: %s: #%u comes after a later one, or twice", client->index,
                 sim_channels[channel].name, id);
    sub->last_sequence = sequence;
    sim->report->deliveries++;
}

void sim_judge_content(struct sim_client *client,
                       int channel,
                       const char *epoch,
                       uint64_t offset,
                       uint32_t id)
{
    struct sim *sim = client->sim;
    const struct sim_life *life = sim_find_life(sim, channel, wh_slice_from_str(epoch));
    if (life == NULL)
        sim_fail(sim, "client %d: %s has no epoch %s", client->index, sim_channels[channel].name,
                 epoch);
    else if (offset == 0 || offset > life->top || life->ids[offset - 1] != id)
        sim_fail(sim, "client %d: %s: offset %" PRIu64 " of %s is not #%u", client->index,
                 sim_channels[channel].name, offset, epoch, id);
}

/* The next publication of a subscription, live or recovered. */
void sim_judge_publication(struct sim_client *client, int channel, const struct wh_pub *pub)
{
    struct sim *sim = client->sim;
    struct sim_sub *sub = &client->subs[channel];
    uint32_t id = sim_read_id(pub->data.bytes);
    sim_trace(sim, "client %d: %s #%u offset %u", client->index, sim_channels[channel].name, id,
              (unsigned)pub->offset);
    judge_order(client, channel, id);
    if (!sub->is_positioned)
        return;
    if (pub->offset != sub->offset + 1)
        sim_fail(sim, "client %d: %s: offset %" PRIu64 " after %" PRIu64, client->index,
                 sim_channels[channel].name, pub->offset, sub->offset);
    if (pub->epoch.ptr && pub->epoch.len && !wh_slice_equal_str(pub->epoch, sub->epoch))
        sim_fail(sim, "client %d: %s: epoch %.*s in %s", client->index, sim_channels[channel].name,
                 WH_SLICE_ARGS(pub->epoch), sub->epoch);
    sim_judge_content(client, channel, sub->epoch, pub->offset, id);
    sub->offset = pub->offset;
}

/* The position must exist, and a loss must be told in the way that was asked for. */
void sim_judge_position(struct sim_client *client,
                        int channel,
                        const struct wh_subscribe_result *result)
{
    struct sim *sim = client->sim;
    const struct sim_sub *sub = &client->subs[channel];
    const struct sim_life *life = sim_find_life(sim, channel, result->epoch);
    bool is_told = sub->is_recovering && !result->recovered;
    if (result->was_recovering != sub->is_recovering)
        sim_fail(sim, "client %d: %s: was_recovering is %d", client->index,
                 sim_channels[channel].name, result->was_recovering);
    if (is_told && sub->must_recover)
        sim_fail(sim, "client %d: %s: not recovered, but wanted an error", client->index,
                 sim_channels[channel].name);
    if (life == NULL || result->offset > life->top)
        sim_fail(sim, "client %d: %s: %s has no offset %" PRIu64, client->index,
                 sim_channels[channel].name, sub->epoch, result->offset);
    sim->report->told += is_told;
}

void sim_client_check_patience(struct sim_client *client)
{
    struct sim *sim = client->sim;
    if (client->conn == NULL || wh_list_is_empty(&client->waiting))
        return;
    const struct sim_command *oldest =
        WH_CONTAINER_OF(client->waiting.next, struct sim_command, link);
    if (sim->now_ms < oldest->at_ms + SIM_PATIENCE_MS ||
        sim->now_ms < client->last_reply_ms + SIM_PATIENCE_MS ||
        sim->now_ms < client->conn->slow_until_ms + SIM_PATIENCE_MS)
        return;
    sim_fail(sim, "client %d: no reply to command %u (kind %d) for %d ms", client->index,
             oldest->id, oldest->kind, SIM_PATIENCE_MS);
}

void sim_client_check_top(struct sim_client *client)
{
    struct sim *sim = client->sim;
    if (client->state != SIM_READY) {
        sim_fail(sim, "client %d: not connected although nothing is broken", client->index);
        return;
    }
    for (int i = 0; i < SIM_CHANNELS; i++) {
        const struct sim_sub *sub = &client->subs[i];
        const struct sim_life *life = sim->server.streams[i];
        if (!sub->is_wanted && sub->state == SIM_UNSUBSCRIBED)
            continue;
        if (sub->state != SIM_SUBSCRIBED)
            sim_fail(sim, "client %d: %s: not subscribed although nothing is broken", client->index,
                     sim_channels[i].name);
        else if (sub->is_positioned && life &&
                 (strcmp(sub->epoch, life->epoch) != 0 || sub->offset != life->top))
            sim_fail(sim, "client %d: %s: at %" PRIu64 " of %s, the top is %" PRIu64 " of %s",
                     client->index, sim_channels[i].name, sub->offset, sub->epoch, life->top,
                     life->epoch);
    }
}

/* 17 for "epoch17": a greater number is a later life of the server's streams. */
static long epoch_number(const char *epoch)
{
    return strtol(epoch + 5, NULL, 10);
}

void sim_client_check_reached(struct sim_client *client,
                              int channel,
                              const char *epoch,
                              uint64_t top)
{
    struct sim *sim = client->sim;
    const struct sim_sub *sub = &client->subs[channel];
    if (client->state != SIM_READY || sub->state != SIM_SUBSCRIBED || !sub->is_positioned ||
        sub->since_ms + DELIVERY_MS > sim->now_ms || client->conn->held.len > 0 ||
        client->conn->slow_until_ms + 2000 > sim->now_ms || client->conn->is_closing)
        return;
    if (strcmp(sub->epoch, epoch) == 0 ? sub->offset < top
                                       : epoch_number(sub->epoch) < epoch_number(epoch))
        sim_fail(sim,
                 "client %d: %s: the link is back for %d ms, but the gap from %" PRIu64
                 " of %s to %" PRIu64 " of %s is neither healed nor told",
                 client->index, sim_channels[channel].name, SIM_HEAL_MS, sub->offset, sub->epoch,
                 top, epoch);
}
