/* Shared by the files of the simulation; nobody else includes it. */
#ifndef TESTS_SIM_INTERNAL_H
#define TESTS_SIM_INTERNAL_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "hub/node.h"
#include "hub/presence.h"
#include "hub/session.h"
#include "simulation.h"

enum {
    SIM_NODES_MAX = 3,
    SIM_CLIENTS_MAX = 7,
    SIM_CHANNELS = 8,
    SIM_EPOCH_MAX = 16,
    SIM_FAULTS_END_MS = 20000, /* then everything is mended */
    SIM_CALM_MS = 24000,       /* how long the hub has until all must be well */
    SIM_PATIENCE_MS = 10000,   /* how long a client waits for the next reply */
    SIM_HEAL_MS = 5000         /* how long a gap may last after the link returned */
};

struct sim;
struct sim_node;
struct sim_client;

/* Events */

typedef void sim_fn(struct sim *sim, void *data);

struct sim_event {
    uint64_t at_ms;
    uint64_t order; /* events of one millisecond happen in the order in which they were made */
    sim_fn *fn;
    max_align_t data[]; /* a copy */
};

/* Call `fn` with a copy of `data` later. */
void sim_after(struct sim *sim, uint64_t delay_ms, sim_fn *fn, const void *data, size_t len);

/* The dice of the schedule; the hub has its own. */
uint64_t sim_below(struct sim *sim, uint64_t bound);
bool sim_chance(struct sim *sim, unsigned percent);

/* The first violation counts, and ends the run. */
void sim_fail(struct sim *sim, const char *format, ...) WH_PRINTF(2, 3);
void sim_trace(struct sim *sim, const char *format, ...) WH_PRINTF(2, 3);

/* A pipe that delays but keeps the order: when something sent now arrives. */
struct sim_pipe {
    uint64_t last_ms;
};
uint64_t sim_pipe_delay(struct sim *sim, struct sim_pipe *pipe, uint64_t delay_ms);

/* Channels */

enum sim_channel_kind { SIM_LIVE, SIM_STREAM, SIM_CACHE };

struct sim_channel_row {
    const char *name;
    enum sim_channel_kind kind;
    bool is_server_side; /* by the token of every second client */
    uint64_t history_size;
};
extern const struct sim_channel_row sim_channels[SIM_CHANNELS];
int sim_channel_index(struct wh_slice name);

/* The truth: everything that was ever published, and every life of every stream. */

struct sim_publication {
    int channel;
    uint64_t sequence; /* in the order in which the broker took them; 0 = it did not */
};

struct sim_life {
    int channel;
    char epoch[SIM_EPOCH_MAX];
    uint32_t *ids; /* ids[offset - 1] */
    uint64_t top;
    uint64_t capacity;
    uint64_t kept_from; /* offsets from here on can be read */
};

struct sim_server {
    struct sim_life **lives;
    size_t life_count;
    struct sim_life *streams[SIM_CHANNELS]; /* the present lives; NULL = none */
    struct sim_publication *publications;   /* by id; 0 is none */
    uint32_t publication_count;
    uint64_t sequence;
    uint64_t epochs;
    struct {
        bool is_taken;
        bool has[SIM_CHANNELS];
        uint64_t top[SIM_CHANNELS];
        uint64_t kept_from[SIM_CHANNELS];
        char epoch[SIM_CHANNELS][SIM_EPOCH_MAX];
    } snapshot;
};

enum { SIM_TEXT_MAX = 24 };
uint32_t sim_publication_new(struct sim *sim, int channel); /* its id */
void sim_write_id(uint32_t id, char out[SIM_TEXT_MAX]);
uint32_t sim_read_id(struct wh_slice bytes); /* 0 when there is none in it */

struct sim_life *sim_find_life(struct sim *sim, int channel, struct wh_slice epoch);
struct sim_life *sim_begin_life(struct sim *sim, int channel);
void sim_server_deinit(struct sim *sim);
void sim_server_publish(struct sim *sim, uint32_t id, uint64_t history_size);
void sim_server_snapshot(struct sim *sim);
enum sim_restart { SIM_RESTART_SAME, SIM_RESTART_EMPTY, SIM_RESTART_SNAPSHOT };
void sim_server_restart(struct sim *sim, enum sim_restart kind);
void sim_server_forget(struct sim *sim, int channel, bool is_meta_too);

/* The broker as one node sees it. */

struct sim_held {
    bool is_held;
    bool is_confirmed;
    uint64_t number; /* of the last subscribe or unsubscribe */
};

struct sim_link {
    uint64_t number; /* connections are counted: what belongs to an old one is lost */
    bool is_up;
    struct sim_pipe there, back;
    unsigned slow_ms; /* added to every answer */
};

struct sim_broker {
    struct broker base;
    struct presence presence;
    struct broker_events events;
    struct sim *sim;
    struct sim_node *node;
    struct wh_list calls; /* struct call: not answered yet */
    uint64_t call_count;
    struct sim_held held[SIM_CHANNELS];
    bool at_server[SIM_CHANNELS]; /* what the server sends to this node */
    struct sim_link pubsub, commands;
    bool is_restored; /* every held channel is confirmed since the last loss */
    bool is_told_up;
    uint64_t faults; /* counted, to know that none came in between */
    void (*closed)(void *user);
    void *closed_user;
};

/* The server takes a publication, from a node or from a service, and passes it on. */
void sim_server_take(struct sim *sim, uint32_t id, uint64_t history_size);

struct sim_broker *sim_broker_new(struct sim *sim,
                                  struct sim_node *node,
                                  const struct broker_events *events);
void sim_broker_cut_pubsub(struct sim_broker *broker, uint64_t for_ms);
void sim_broker_cut_commands(struct sim_broker *broker, uint64_t for_ms);

/* Nodes */

struct sim_node {
    struct sim *sim;
    int index;
    uint64_t life;
    bool is_up;      /* accepts connections */
    bool is_running; /* initialised */
    bool is_closed;  /* its broker has said so */
    bool is_turn_due;
    struct wh_loop loop;
    struct node node;
    struct sim_broker *broker;
};

/* Something happened at this node: its turn ends now or a moment later. */
void sim_node_touched(struct sim_node *node);

/* Connections: a socket and the wire under it. */

struct sim_conn {
    struct transport base;
    struct wh_list link; /* sim->conns */
    struct sim *sim;
    struct sim_client *client;
    struct sim_node *node;
    struct session *session; /* NULL once the node knows that it is gone */
    bool is_heard;           /* the client still listens */
    struct wh_buf held;      /* written, not taken by the socket */
    uint64_t slow_until_ms;  /* the client reads slowly */
    bool wants_write;
    bool is_reading;
    bool is_closing;
    uint32_t code;
    struct wh_list input; /* struct message: arrived while the node does not read */
    struct sim_pipe there, back;
    struct wh_buf received; /* by the client, not parsed yet */
};

struct sim_conn *sim_conn_open(struct sim_client *client, struct sim_node *node);
void sim_conn_send(struct sim_conn *conn, struct wh_slice message);
void sim_conn_drop(struct sim_conn *conn); /* the client goes without a word */
void sim_conn_stall(struct sim_conn *conn, uint64_t for_ms);
void sim_conn_end(struct sim_conn *conn); /* its node is gone: the client gets what was sent */
void sim_conn_free(struct sim_conn *conn);

/* Clients */

enum sim_client_state { SIM_DOWN, SIM_CONNECTING, SIM_READY, SIM_REFUSED };
enum sim_sub_state { SIM_UNSUBSCRIBED, SIM_SUBSCRIBING, SIM_SUBSCRIBED, SIM_UNSUBSCRIBING };

struct sim_sub {
    enum sim_sub_state state;
    bool is_wanted;
    bool is_retry_due;
    bool is_positioned;
    bool has_position; /* kept from an earlier subscription */
    bool is_recovering;
    bool must_recover;
    bool is_compact;
    uint64_t offset;
    char epoch[SIM_EPOCH_MAX];
    uint64_t asked_offset;
    char asked_epoch[SIM_EPOCH_MAX];
    int64_t number;         /* of the channel, with compaction */
    uint64_t last_sequence; /* of the last publication in this subscription */
    uint64_t since_ms;      /* of the reply */
};

enum sim_command_kind {
    SIM_CONNECT,
    SIM_SUBSCRIBE,
    SIM_UNSUBSCRIBE,
    SIM_PUBLISH,
    SIM_HISTORY,
    SIM_PRESENCE
};

struct sim_command {
    struct wh_list link;
    enum sim_command_kind kind;
    uint32_t id;
    int channel;
    uint32_t publication;
    uint64_t at_ms;
};

struct sim_client {
    struct sim *sim;
    int index;
    enum wh_encoding encoding;
    enum sim_client_state state;
    struct sim_conn *conn;
    uint32_t last_id;
    struct wh_list waiting; /* struct sim_command, in the order of their ids */
    uint64_t last_reply_ms;
    struct wh_buf frame; /* commands that leave together */
    struct sim_sub subs[SIM_CHANNELS];
    bool has_token;
    bool is_retired; /* the run is over: it does not come back */
};

void sim_client_init(struct sim *sim, struct sim_client *client, int index);
void sim_client_deinit(struct sim_client *client);
void sim_client_act(struct sim_client *client); /* whatever comes to its mind */
void sim_client_want_all(struct sim_client *client);
void sim_client_retire(struct sim_client *client);
void sim_client_received(struct sim_client *client, struct sim_conn *conn);
void sim_client_closed(struct sim_client *client, struct sim_conn *conn, uint32_t code);

/* The next publication of a subscription, live or recovered. */
void sim_judge_publication(struct sim_client *client, int channel, const struct wh_pub *pub);
void sim_judge_content(struct sim_client *client,
                       int channel,
                       const char *epoch,
                       uint64_t offset,
                       uint32_t id);
void sim_judge_position(struct sim_client *client,
                        int channel,
                        const struct wh_subscribe_result *result);

/* Whether it stands where its streams stand, and that what it waits for is not too old. */
void sim_client_check_patience(struct sim_client *client);
void sim_client_check_top(struct sim_client *client);
void sim_client_check_reached(struct sim_client *client,
                              int channel,
                              const char *epoch,
                              uint64_t top);

/* All of it */

struct sim {
    const struct sim_options *options;
    struct sim_report *report;
    uint64_t now_ms;
    uint64_t dice;
    struct sim_event **heap;
    size_t event_count;
    size_t event_capacity;
    uint64_t event_order;
    struct config *config;
    struct metrics_shared *shared;
    struct metrics *metrics;
    struct sim_server server;
    struct sim_node nodes[SIM_NODES_MAX];
    int node_count;
    struct sim_client clients[SIM_CLIENTS_MAX];
    int client_count;
    struct wh_list conns;
    bool is_calm;    /* nothing breaks any more, nobody publishes */
    bool is_over;    /* nodes that stop stay away */
    unsigned faults; /* which kinds this run has, a bit each */
    unsigned lag_ms; /* of ordinary messages, at most */
};

uint64_t sim_lag(struct sim *sim);

#endif
