-- The archive, the queue beside it, and the ledger of claims. src/README.md has the reasons and the measurements.

CREATE TABLE endpoints (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text    NOT NULL UNIQUE CHECK (name <> ''),
    url           text    NOT NULL CHECK (url <> ''),
    headers       text    NOT NULL DEFAULT '{}',          -- a JSON object of header names to values
    max_in_flight integer NOT NULL DEFAULT 64 CHECK (max_in_flight BETWEEN 1 AND 10000),
    created_at    timestamptz NOT NULL DEFAULT now()
);
-- Row 1: kept equal to WEBHOOK_URL by the service. The address is a placeholder that no request can reach.
INSERT INTO endpoints (name, url) VALUES ('default', 'http://webhook-url-not-set.invalid/');

-- No index and no partial-index predicate may mention is_sent, sent_at, attempts, last_error or
-- receiver_message_id: marking a message sent must stay a HOT update on the page it is on.
CREATE TABLE messages (
    id                  bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient           text    NOT NULL,
    content             text    NOT NULL,
    is_sent             boolean NOT NULL DEFAULT false,
    attempts            integer NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL DEFAULT now(),
    sent_at             timestamptz,
    endpoint_id         bigint  NOT NULL DEFAULT 1,
    receiver_message_id text,
    last_error          text,
    CONSTRAINT messages_recipient_bytes CHECK (octet_length(recipient) BETWEEN 1 AND 255),
    CONSTRAINT messages_content_bytes   CHECK (octet_length(content) >= 1 AND octet_length(content) <= 4096)
) WITH (fillfactor = 50);
CREATE INDEX messages_recipient ON messages (recipient, id);

-- Ready to be claimed. Insert and delete only; xid is what the claim's floor compares with.
CREATE TABLE message_queue (
    xid xid8   NOT NULL DEFAULT pg_current_xact_id(),
    id  bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000);
CREATE INDEX message_queue_fifo ON message_queue (xid, id);

-- Due later: retries, and what an endpoint's full queue had to put off.
CREATE TABLE message_schedule (
    id     bigint PRIMARY KEY,
    due_at timestamptz NOT NULL
);
CREATE INDEX message_schedule_due ON message_schedule (due_at, id);

-- The ledger: one row for each batch that an engine has taken and not yet resolved. attempts[] is what
-- messages.attempts was at the claim: a message whose count has moved on was resolved by somebody.
CREATE TABLE message_claim (
    claim_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance_id bigint    NOT NULL,
    ids         bigint[]  NOT NULL,
    attempts    integer[] NOT NULL,
    adopted     boolean   NOT NULL DEFAULT false,     -- taken over from an instance that died
    claimed_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE message_dead (
    id        bigint PRIMARY KEY,
    failed_at timestamptz NOT NULL DEFAULT now(),
    reason    text NOT NULL
);
CREATE INDEX message_dead_failed ON message_dead (failed_at, id);

-- What was sent, in the order it was recorded, a row a recorded batch. It gives "newest sent first" without an
-- index on sent_at: 8 bytes a message where such an index would cost every mark-sent its HOT update.
CREATE TABLE message_sent_batch (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sent_at  timestamptz NOT NULL,
    size     integer     NOT NULL,
    ids      bigint[]    NOT NULL
);
-- Sent batches whose receipts Redis has not confirmed yet.
CREATE TABLE receipt_backlog (
    batch_id    bigint PRIMARY KEY,
    instance_id bigint NOT NULL
);

-- Failed attempts only: a success is told by the message's own row.
CREATE TABLE delivery_attempt (
    message_id  bigint      NOT NULL,
    attempt     integer     NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    status      integer,                              -- NULL: no HTTP status was received
    duration_ms integer     NOT NULL,
    error       text        NOT NULL
);
CREATE INDEX delivery_attempt_message ON delivery_attempt (message_id, at);

CREATE TABLE engine_instance (
    instance_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz NOT NULL DEFAULT now(),
    in_flight   integer     NOT NULL DEFAULT 0,
    floor       xid8        NOT NULL DEFAULT '0'      -- no ready row below it: bounds the scans of the status page
) WITH (fillfactor = 10);

CREATE TABLE service_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    state    text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'stopped')),
    since    timestamptz NOT NULL DEFAULT now(),
    by       text        NOT NULL DEFAULT 'migration'
);
INSERT INTO service_state DEFAULT VALUES;

CREATE TABLE idempotency_key (
    key         text PRIMARY KEY,
    fingerprint text        NOT NULL,                 -- of the request body: the same key with another body is refused
    ids         bigint[],
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_key_age ON idempotency_key (created_at);

-- SECURITY DEFINER with a fixed search_path: an application's role needs INSERT on messages and nothing else.
CREATE FUNCTION messaging_enqueue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO message_queue (id) SELECT id FROM new_rows WHERE NOT is_sent;
    IF FOUND THEN
        PERFORM pg_notify('messaging_ready', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER messages_enqueue AFTER INSERT ON messages
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION messaging_enqueue();

-- UPDATE messages SET is_sent = false sends again what was sent, is dead, or waits for a retry, with all its attempts
-- before it; what is queued or in flight already stays as it is.
CREATE FUNCTION messaging_resend() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    again boolean := OLD.is_sent;
BEGIN
    DELETE FROM message_dead WHERE id = NEW.id;
    again := again OR FOUND;
    DELETE FROM message_schedule WHERE id = NEW.id;
    again := again OR FOUND;
    IF again THEN
        NEW.attempts := 0;
        NEW.sent_at := NULL;
        NEW.receiver_message_id := NULL;
        INSERT INTO message_queue (id) VALUES (NEW.id);
        PERFORM pg_notify('messaging_ready', '');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER messages_resend BEFORE UPDATE OF is_sent ON messages
    FOR EACH ROW WHEN (NOT NEW.is_sent) EXECUTE FUNCTION messaging_resend();

-- Engines hear of a start, a stop and a changed endpoint at once.
CREATE FUNCTION messaging_control_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('messaging_control', '');
    RETURN NULL;
END $$;
CREATE TRIGGER service_state_changed AFTER UPDATE ON service_state
    FOR EACH STATEMENT EXECUTE FUNCTION messaging_control_changed();
CREATE TRIGGER endpoints_changed AFTER INSERT OR UPDATE OR DELETE ON endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION messaging_control_changed();
