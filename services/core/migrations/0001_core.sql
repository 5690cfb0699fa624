-- What services/core keeps in the database of every service.

-- Events on their way out; the relay publishes what is not sent yet, in the order of id.
create table outbox (
    id bigint generated always as identity primary key,
    event_id uuid not null unique,
    aggregate text not null, -- the event's subject
    type text not null,
    payload json not null,   -- the CloudEvent; json keeps it byte for byte
    channels json not null,  -- [{"name", "history_size", "history_ttl_ms", "payload"?}]
    traceparent text,        -- of the span that emitted it
    created_at timestamptz not null default now(),
    sent_at timestamptz
);
create index outbox_unsent on outbox (id) where sent_at is null;
create index outbox_sent on outbox (sent_at) where sent_at is not null;

-- Events that were consumed: in the same transaction as what they brought about.
create table inbox (
    consumer text not null,
    event_id text not null,
    consumed_at timestamptz not null default now(),
    primary key (consumer, event_id)
);
create index inbox_consumed_at on inbox (consumed_at);

-- What one instance does at a time: consuming, so that events keep their order; exclusive jobs.
create table lease (
    name text primary key,
    holder uuid not null,
    until timestamptz not null
);

-- Answers kept under the keys of their callers.
create table idempotency (
    user_id text not null,
    key text not null,
    method text not null,
    request_hash bytea not null,
    reply_kind smallint,
    reply bytea, -- null: the empty answer
    created_at timestamptz not null default now(),
    primary key (user_id, key)
);
create index idempotency_created_at on idempotency (created_at);

-- Transactions without a key: tells whether one was committed when the answer was lost.
create table commit_note (
    id uuid primary key,
    created_at timestamptz not null default now()
);
create index commit_note_created_at on commit_note (created_at);
