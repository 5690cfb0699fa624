-- Times are the database's: all instances agree on them.

create table account (
    id            uuid primary key,
    email         text not null unique check (email = lower(email) and length(email) <= 254),
    name          text not null check (length(name) between 1 and 100),
    password_hash text not null,
    roles         text[] not null default '{}',
    register_key  bytea, -- SHA-256 of the idempotency key it was registered under
    version       bigint not null default 1,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);

-- One row for each token that was given out, until it would have expired: a used one that comes
-- again is what tells that it was stolen.
create table refresh_token (
    hash            bytea primary key check (length(hash) = 32),
    family          uuid not null,
    account         uuid not null references account on delete cascade,
    issued_at       timestamptz not null default now(),
    expires_at      timestamptz not null,
    session_ends_at timestamptz not null,
    used_at         timestamptz,
    revoked_at      timestamptz
);
create index refresh_token_family on refresh_token (family);
create index refresh_token_account on refresh_token (account);
create index refresh_token_expires_at on refresh_token (expires_at);

-- A handful of rows at any time.
create table signing_key (
    kid        text primary key,
    sealed     text not null, -- the private half: base64url of what keys.h describes
    jwk        text not null, -- the public half
    use_from   timestamptz not null, -- published since created_at, signs from here on
    retired_at timestamptz, -- when its successor takes over
    created_at timestamptz not null default now()
);

-- See throttle.h.  Losing it in a crash costs nothing that matters.
create unlogged table throttle (
    key     bytea primary key check (length(key) = 32),
    full_at timestamptz not null
);
create index throttle_full_at on throttle (full_at);
