-- The places of an unsent message, and what the engines share. An unsent message is always in exactly one of _queue, _schedule,
-- _hold, _dead, and the ledger _claim; messaging._reconcile_round() finds one that is in none of them. No foreign keys: each would cost a
-- look-up per message.

-- Ready to be claimed. Insert and delete only; xid is what the claim's floor compares with.
CREATE TABLE messaging._queue (
    xid xid8   NOT NULL DEFAULT pg_current_xact_id(),
    id  bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000);
CREATE INDEX _queue_fifo ON messaging._queue (xid, id);

-- Due later: retries, and messages that an engine could not start.
-- id + 0 in this index and in others: an index with id itself is one that a look-up by id can be planned with, which then reads all of
-- it. PostgreSQL takes it where its statistics say that the table has no rows, as they do while an old snapshot keeps millions of dead
-- ones: 2.4 s for each record.
CREATE TABLE messaging._schedule (
    id     bigint PRIMARY KEY,
    due_at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX _schedule_due ON messaging._schedule (due_at, (id + 0));

-- Waiting for an endpoint that is not active; claimed from here in the order of their ids, when it can take them.
CREATE TABLE messaging._hold (
    id          bigint PRIMARY KEY,
    endpoint_id bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX _hold_endpoint ON messaging._hold (endpoint_id, (id + 0));

-- The ledger: one row for each claim that is not yet resolved. claim_id is a random number that the claiming engine has chosen,
-- so that no number ever comes twice, whatever PostgreSQL loses in a crash or a failover. attempts[] and generations[] are the
-- messages' own as they were at the claim: a message that has other ones, or is sent, was resolved.
CREATE TABLE messaging._claim (
    claim_id    bigint PRIMARY KEY,
    instance_id bigint    NOT NULL,
    ids         bigint[]  NOT NULL,
    attempts    integer[] NOT NULL,
    generations integer[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Dead-lettered: not tried again unless somebody sends it again, with the reason.
CREATE TABLE messaging._dead (
    id        bigint PRIMARY KEY,
    failed_at timestamptz NOT NULL DEFAULT now(),
    reason    text NOT NULL
);
CREATE INDEX _dead_failed ON messaging._dead (failed_at, (id + 0));

-- What was sent, in the order it was recorded, one row for each recorded batch. It gives "most recently sent first" without an
-- index on sent_at: 8 bytes a message where such an index would cost each mark-sent its HOT update. An entry counts for a message that is
-- sent and has this sent_at: what was sent again since has a later entry.
CREATE TABLE messaging._sent_batch (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sent_at  timestamptz,                             -- NULL: the row was inserted as sent, without a time
    size     integer     NOT NULL,                    -- how many the service has sent: 0 where somebody has marked a message as sent
    ids      bigint[]    NOT NULL
);
-- Sent batches whose receipts Redis has not confirmed yet.
CREATE TABLE messaging._receipt_backlog (
    batch_id    bigint PRIMARY KEY,
    instance_id bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX _receipt_backlog_instance ON messaging._receipt_backlog (instance_id, (batch_id + 0));

-- Failed attempts only: a success is told by the message's own row.
CREATE TABLE messaging._attempt (
    message_id  bigint      NOT NULL,
    attempt     integer     NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    status      integer,                              -- NULL: no HTTP status was received
    duration_ms integer     NOT NULL,
    error       text        NOT NULL
);
CREATE INDEX _attempt_message ON messaging._attempt (message_id, at);

-- What the engines count for each endpoint, by the minute, for a day: attempts that count, and how long they took. Written every few
-- seconds, for endpoints with attempts.
CREATE TABLE messaging._endpoint_minute (
    endpoint_id bigint      NOT NULL,
    minute      timestamptz NOT NULL,
    sent        integer     NOT NULL,
    failed      integer     NOT NULL,
    durations   integer[]   NOT NULL,                 -- how many attempts took how long: messaging._duration_bounds()
    last_error  text,
    PRIMARY KEY (endpoint_id, minute)
) WITH (fillfactor = 50);
CREATE INDEX _endpoint_minute_age ON messaging._endpoint_minute (minute);

CREATE TABLE messaging._instance (
    instance_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL,
    session_tag text        NOT NULL DEFAULT '',      -- its sessions have it in their application_name
    started_at  timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz NOT NULL DEFAULT now(),
    in_flight   integer     NOT NULL DEFAULT 0,
    floor       xid8        NOT NULL DEFAULT '0'      -- no ready row is below it, but those that a full scan finds: bounds the status page
) WITH (fillfactor = 10);

CREATE TABLE messaging._state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    state    text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'stopped')),
    since    timestamptz NOT NULL DEFAULT now(),
    by       text        NOT NULL DEFAULT 'migration'
);
INSERT INTO messaging._state DEFAULT VALUES;

-- How far the reconcile walk has come. All processes share it, so that they take turns and keep to one pace.
CREATE TABLE messaging._reconcile (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    walked_to    bigint      NOT NULL DEFAULT 0,       -- each id up to here was looked at in this walk
    walk_began   timestamptz NOT NULL DEFAULT now(),
    walk_took    interval,                             -- the last whole walk, its rests included
    next_round   timestamptz NOT NULL DEFAULT now(),   -- not before: the rests keep the walk at 2 % of a core
    next_tail    timestamptz NOT NULL DEFAULT now()    -- when the newest rows are looked at again
) WITH (fillfactor = 10);
INSERT INTO messaging._reconcile DEFAULT VALUES;

-- Messages whose outcome came too late for its claim: reconcile checks each of them by name.
CREATE TABLE messaging._suspect (
    id bigint NOT NULL
);

-- These have no primary key. Without an identity PostgreSQL refuses to delete from a table that a publication for all tables
-- publishes, and every claim deletes. It costs something with wal_level = logical only.
ALTER TABLE messaging._queue REPLICA IDENTITY FULL;
ALTER TABLE messaging._attempt REPLICA IDENTITY FULL;
ALTER TABLE messaging._suspect REPLICA IDENTITY FULL;
