-- The places of an unsent message, and the tables that the engines share. An unsent message is always in exactly one of _queue,
-- _schedule, _hold, _dead, and the ledger _claim. messaging._reconcile_round() finds messages that are in none of them. There are no
-- foreign keys, because each would cost a look-up per message.

-- Messages that are ready to be claimed. Rows are inserted and deleted, never updated. Claims compare xid with their floor.
CREATE TABLE messaging._queue (
    xid xid8   NOT NULL DEFAULT pg_current_xact_id(),
    id  bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000);
CREATE INDEX _queue_fifo ON messaging._queue (xid, id);

-- Messages that are due later: retries, and messages that an engine could not start.
-- This index and others have id + 0 instead of id. With id the planner could use the index for a look-up by id, and would read all of it.
-- It does so when the statistics say that the table has no rows, which is the case while an old snapshot keeps millions of dead rows.
-- Each record took 2.4 s then.
CREATE TABLE messaging._schedule (
    id     bigint PRIMARY KEY,
    due_at timestamptz NOT NULL CHECK (due_at >= '1970-01-01 00:00+00' AND due_at < '3000-01-01 00:00+00')
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX _schedule_due ON messaging._schedule (due_at, (id + 0));

-- Messages of endpoints that are not active. Engines claim them in the order of their ids, when their endpoint can take them.
CREATE TABLE messaging._hold (
    id          bigint PRIMARY KEY,
    endpoint_id bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX _hold_endpoint ON messaging._hold (endpoint_id, (id + 0));

-- The ledger: one row for each claim that is not finished. The claiming engine chooses claim_id at random, so that no claim id is used
-- twice, whatever PostgreSQL loses in a crash or a failover. attempts[] and generations[] are the messages' values at the claim. A
-- message that has other values now, or is sent, is resolved.
CREATE TABLE messaging._claim (
    claim_id    bigint PRIMARY KEY,
    instance_id bigint    NOT NULL,
    ids         bigint[]  NOT NULL,
    attempts    integer[] NOT NULL,
    generations integer[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Dead-lettered messages, with the reason. They are not tried again unless somebody sends them again.
CREATE TABLE messaging._dead (
    id        bigint PRIMARY KEY,
    failed_at timestamptz NOT NULL DEFAULT now(),
    reason    text NOT NULL
);
CREATE INDEX _dead_failed ON messaging._dead (failed_at, (id + 0));

-- The sent log: one row for each recorded batch of sent messages. The list "most recently sent first" reads it. It takes 8 bytes a
-- message; with an index on sent_at, marking a message as sent could not be a HOT update. An entry counts for a message that is sent and
-- has this sent_at. A message that was sent again has a later entry.
CREATE TABLE messaging._sent_batch (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sent_at  timestamptz,                             -- NULL: the message was inserted as sent, without a time
    size     integer     NOT NULL,                    -- messages that the service has sent; 0 if somebody has marked one as sent
    ids      bigint[]    NOT NULL
);
-- Sent batches whose receipts Redis has not confirmed yet.
CREATE TABLE messaging._receipt_backlog (
    batch_id    bigint PRIMARY KEY,
    instance_id bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX _receipt_backlog_instance ON messaging._receipt_backlog (instance_id, (batch_id + 0));

-- Failed attempts. The message's own row has the successful one.
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
    session_tag text        NOT NULL DEFAULT '',      -- the end of the application_name of its sessions
    started_at  timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz NOT NULL DEFAULT now(),
    in_flight   integer     NOT NULL DEFAULT 0,
    floor       xid8        NOT NULL DEFAULT '0'      -- ready rows are at or above it (exceptions: found by full scans). Limits what the status counts read
) WITH (fillfactor = 10);

CREATE TABLE messaging._state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    state    text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'stopped')),
    since    timestamptz NOT NULL DEFAULT now(),
    by       text        NOT NULL DEFAULT 'migration'
);
INSERT INTO messaging._state DEFAULT VALUES;

-- The progress of the reconcile walk. All processes share one walk and its pace.
CREATE TABLE messaging._reconcile (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    walked_to    bigint      NOT NULL DEFAULT 0,       -- this walk has checked each id up to here
    walk_began   timestamptz NOT NULL DEFAULT now(),
    walk_took    interval,                             -- the duration of the last walk, pauses included
    next_round   timestamptz NOT NULL DEFAULT now(),   -- earliest time; the pauses keep the walk at 2 % of a core
    next_tail    timestamptz NOT NULL DEFAULT now()    -- earliest time of the next check of the newest rows
) WITH (fillfactor = 10);
INSERT INTO messaging._reconcile DEFAULT VALUES;

-- Messages whose outcome changed nothing. Reconcile checks each of them.
CREATE TABLE messaging._suspect (
    id bigint NOT NULL
);

-- _queue, _attempt and _suspect have no primary key. If a publication publishes all tables, PostgreSQL refuses to delete from a table
-- without a replica identity, and every claim deletes from _queue. The identity costs something only with wal_level = logical.
ALTER TABLE messaging._queue REPLICA IDENTITY FULL;
ALTER TABLE messaging._attempt REPLICA IDENTITY FULL;
ALTER TABLE messaging._suspect REPLICA IDENTITY FULL;
