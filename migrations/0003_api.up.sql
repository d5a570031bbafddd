-- The tables of the HTTP API.

-- The responses to requests with an Idempotency-Key, for 24 hours. A repeat of a request gets the stored response, byte for byte.
CREATE TABLE messaging._idempotency_key (
    scope       text        NOT NULL,                 -- method and path: the same key on another path is another key
    key         text        NOT NULL,
    fingerprint text        NOT NULL,                 -- of the request body: the same key with another body is refused
    status      integer     NOT NULL,
    body        text,                                 -- NULL only inside the transaction that takes the key
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX _idempotency_key_age ON messaging._idempotency_key (created_at);

-- Replays (functions/replays.sql): messages that are sent again by a filter. A replay walks over the ids from first_id to last_id, in small
-- batches. A batch and the position behind it are one transaction, so nothing is walked over twice or left out, whatever is killed.
-- The view messaging.replays shows them.
CREATE TABLE messaging._replay (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state             text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled')),
    status            text        NOT NULL CHECK (status IN ('dead', 'sent', 'both')),
    endpoint_id       bigint,                             -- the filter: NULL stands for every value
    event_type        text,
    tenant            text,
    since             timestamptz,
    until             timestamptz,
    first_id          bigint      NOT NULL,               -- the walk begins behind it
    last_id           bigint      NOT NULL,
    walked_to         bigint      NOT NULL,               -- each id up to here has been walked over
    batch_ids         bigint[]    NOT NULL DEFAULT '{}',  -- the newest messages that were replayed, and earlier ones without an attempt since
    batch_generations integer[]   NOT NULL DEFAULT '{}',
    batch_at          timestamptz,
    replayed          bigint      NOT NULL DEFAULT 0,
    skipped           bigint      NOT NULL DEFAULT 0,     -- their endpoint is gone, or is disabled and was not named by the filter
    refused           bigint      NOT NULL DEFAULT 0,     -- PostgreSQL refused the change
    failures          integer     NOT NULL DEFAULT 0,     -- of the last batches: the next one is smaller
    last_error        text,
    created_by        text        NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at       timestamptz
) WITH (fillfactor = 50);
CREATE INDEX _replay_running ON messaging._replay (id) WHERE state = 'running';

-- The pace of all replays together. A process that runs a round has the row locked.
CREATE TABLE messaging._replay_pace (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    next_round  timestamptz NOT NULL DEFAULT now(),       -- earliest time
    last_replay bigint      NOT NULL DEFAULT 0            -- whose round was the last one: replays take turns
) WITH (fillfactor = 10);
INSERT INTO messaging._replay_pace DEFAULT VALUES;
