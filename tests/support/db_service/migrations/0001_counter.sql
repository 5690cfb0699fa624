create table counter (
    name text primary key,
    value bigint not null check (value >= 0)
);
create table seen (
    position bigint generated always as identity primary key,
    event_id text not null,
    subject text not null,
    text text not null
);
create sequence attempts;
