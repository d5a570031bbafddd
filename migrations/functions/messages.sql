-- The triggers of public.messages for INSERT, UPDATE, DELETE and TRUNCATE. They are SECURITY DEFINER with a fixed search_path, so an
-- application's role needs only INSERT on messages. EXECUTE is revoked from PUBLIC, so nobody can use these functions as triggers of
-- another table. A trigger fires without that right.

-- The doorbell (docs/claim-protocol.md). A NOTIFY holds a lock of the whole cluster until its commit is on the disk, so inserters that
-- notify wait for each other. A sleeping engine holds the advisory lock (771, 1) exclusively. An inserter tries to take the lock
-- shared, until its transaction ends. If it gets the lock, no engine sleeps with the lock, and it sends no NOTIFY. If it does not, an
-- engine sleeps, and it sends a NOTIFY, even if other engines are awake.
-- SET messaging.notify = 'off' skips the lock and the NOTIFY. Transactions with PREPARE TRANSACTION (two-phase commit) need it, because
-- PostgreSQL refuses to prepare a transaction after a NOTIFY. The engines' poll finds their messages within a second of the commit.
CREATE OR REPLACE FUNCTION messaging._notify() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(current_setting('messaging.notify', true), '') <> 'off' AND NOT pg_try_advisory_xact_lock_shared(771, 1) THEN
        PERFORM pg_notify('messaging_ready', '');
    END IF;
END $$;

CREATE OR REPLACE FUNCTION messaging._on_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'public.messages'::regclass THEN
        RAISE EXCEPTION 'messaging._on_insert() serves public.messages only';
    END IF;
    INSERT INTO messaging._queue (id) SELECT id FROM new_rows WHERE NOT is_sent;
    -- The same as messaging._notify(), without a second function call for each INSERT.
    IF FOUND AND coalesce(current_setting('messaging.notify', true), '') <> 'off' AND NOT pg_try_advisory_xact_lock_shared(771, 1) THEN
        PERFORM pg_notify('messaging_ready', '');
    END IF;
    RETURN NULL;
END $$;

-- Writes a row that was inserted as sent into the sent log, like a row that somebody has marked as sent.
CREATE OR REPLACE FUNCTION messaging._on_insert_sent() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'public.messages'::regclass THEN
        RAISE EXCEPTION 'messaging._on_insert_sent() serves public.messages only';
    END IF;
    INSERT INTO messaging._sent_batch (sent_at, size, ids) VALUES (NEW.sent_at, 0, ARRAY[NEW.id]);
    RETURN NULL;
END $$;

-- Handles an UPDATE that is not an engine's own. Two triggers call this function.
-- 'any' is the argument for every UPDATE. The columns of the protocol keep their values, so that an ORM which saves whole rows, or an
-- operator who edits attempts, cannot make a claimed message look resolved. A message that goes from sent to unsent is sent again,
-- also if a trigger of the application has changed is_sent. A message that somebody marks as sent is removed from the schedule, the
-- hold and the dead letters; the next claim removes its row in the queue.
-- 'is_sent' is the argument for an UPDATE that sets is_sent = false on an unsent message. A dead-lettered or scheduled message is sent
-- again. A queued, held or claimed message stays as it is.
-- A message that is sent again gets all its attempts back. Its generation changes, so that a late outcome of the earlier sending does
-- not count for the new one.
CREATE OR REPLACE FUNCTION messaging._on_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    again boolean := OLD.is_sent AND NOT NEW.is_sent;
BEGIN
    IF TG_RELID <> 'public.messages'::regclass THEN
        RAISE EXCEPTION 'messaging._on_update() serves public.messages only';
    END IF;
    -- An older snapshot does not show in which place the message is: it would stay there, unsent or sent, and nobody would know.
    IF (TG_ARGV[0] <> 'any' OR NEW.is_sent <> OLD.is_sent OR NEW.endpoint_id <> OLD.endpoint_id)
       AND current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'is_sent and endpoint_id can be changed in the isolation level READ COMMITTED only, and this one is %',
            upper(current_setting('transaction_isolation'))
            USING HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED, or POST /messages/{id}/retry', ERRCODE = 'feature_not_supported';
    END IF;
    IF TG_ARGV[0] = 'any' THEN
        IF NEW.id <> OLD.id THEN
            RAISE EXCEPTION 'a message keeps its id' USING HINT = 'Insert a new message instead.', ERRCODE = 'integrity_constraint_violation';
        END IF;
        NEW.attempts := OLD.attempts;
        NEW.abandoned := OLD.abandoned;
        NEW.generation := OLD.generation;
        -- The list of sent messages reads the sent log, so a message that somebody marks as sent needs an entry there. A size of 0 keeps it
        -- out of the rate of sending. An entry counts only while the message has the same sent_at. clock_timestamp() gives a message that
        -- is marked twice in one transaction two times.
        IF NEW.is_sent AND NOT OLD.is_sent THEN
            NEW.sent_at := clock_timestamp();
            INSERT INTO messaging._sent_batch (sent_at, size, ids) VALUES (NEW.sent_at, 0, ARRAY[NEW.id]);
        ELSE
            NEW.sent_at := OLD.sent_at;
        END IF;
        -- A message that is held for the old endpoint becomes ready for the new one.
        IF NEW.endpoint_id <> OLD.endpoint_id AND NOT OLD.is_sent AND NOT NEW.is_sent THEN
            DELETE FROM messaging._hold WHERE id = NEW.id;
            IF FOUND THEN
                INSERT INTO messaging._queue (id) VALUES (NEW.id);
                PERFORM messaging._notify();
            END IF;
        END IF;
        IF OLD.is_sent <> NEW.is_sent THEN
            DELETE FROM messaging._dead WHERE id = NEW.id;
            DELETE FROM messaging._schedule WHERE id = NEW.id;
            DELETE FROM messaging._hold WHERE id = NEW.id;
        END IF;
    ELSE
        DELETE FROM messaging._dead WHERE id = NEW.id;
        again := FOUND;
        DELETE FROM messaging._schedule WHERE id = NEW.id;
        again := again OR FOUND;
    END IF;
    IF again THEN
        NEW.attempts := 0;
        NEW.abandoned := 0;
        NEW.generation := OLD.generation / 128 * 128 + (OLD.generation % 128 + 1) % 128;
        NEW.sent_at := NULL;
        NEW.receiver_message_id := NULL;
        INSERT INTO messaging._queue (id) VALUES (NEW.id);
        PERFORM messaging._notify();
    END IF;
    RETURN NEW;
END $$;

-- Deleting a message also deletes its rows in the schedule, the hold, the dead letters and the failed attempts. Its rows in the
-- queue and in the ledger are removed by the next claim and the next record.
CREATE OR REPLACE FUNCTION messaging._on_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'public.messages'::regclass THEN
        RAISE EXCEPTION 'messaging._on_delete() serves public.messages only';
    END IF;
    DELETE FROM messaging._schedule WHERE id = ANY (ARRAY(SELECT id FROM old_rows));
    DELETE FROM messaging._hold WHERE id = ANY (ARRAY(SELECT id FROM old_rows));
    DELETE FROM messaging._dead WHERE id = ANY (ARRAY(SELECT id FROM old_rows));
    DELETE FROM messaging._attempt WHERE message_id = ANY (ARRAY(SELECT id FROM old_rows));
    RETURN NULL;
END $$;

-- TRUNCATE … RESTART IDENTITY gives the same ids out again, so every table that has ids of messages is emptied.
CREATE OR REPLACE FUNCTION messaging._on_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'public.messages'::regclass THEN
        RAISE EXCEPTION 'messaging._on_truncate() serves public.messages only';
    END IF;
    DELETE FROM messaging._queue;
    DELETE FROM messaging._schedule;
    DELETE FROM messaging._hold;
    DELETE FROM messaging._dead;
    DELETE FROM messaging._claim;
    DELETE FROM messaging._attempt;
    DELETE FROM messaging._receipt_backlog;
    DELETE FROM messaging._sent_batch;
    DELETE FROM messaging._suspect;
    IF to_regclass('messaging._idempotency_key') IS NOT NULL THEN  -- `migrate down` may have removed them
        DELETE FROM messaging._idempotency_key;
        UPDATE messaging._replay SET state = 'cancelled', finished_at = clock_timestamp() WHERE state = 'running';
    END IF;
    RETURN NULL;
END $$;

-- The UPDATE triggers ignore an engine's own UPDATE. They do not ignore an UPDATE that a trigger of the application makes within it:
-- pg_trigger_depth() is above 0 there. BEFORE triggers fire in the order of their names. The prefix zz_ lets the triggers of an
-- application fire first, so that their result counts.
SELECT messaging._make_trigger('messaging_insert', 'AFTER INSERT', 'public.messages',
    'REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_insert()');
SELECT messaging._make_trigger('messaging_insert_sent', 'AFTER INSERT', 'public.messages',
    'FOR EACH ROW WHEN (NEW.is_sent) EXECUTE FUNCTION messaging._on_insert_sent()');
SELECT messaging._make_trigger('zz_messaging_1_keep', 'BEFORE UPDATE', 'public.messages',
    $$FOR EACH ROW WHEN (current_setting('messaging.session', true) IS DISTINCT FROM 'engine' OR pg_trigger_depth() > 0)
    EXECUTE FUNCTION messaging._on_update('any')$$);
SELECT messaging._make_trigger('zz_messaging_2_send_again', 'BEFORE UPDATE OF is_sent', 'public.messages',
    $$FOR EACH ROW WHEN (NOT OLD.is_sent AND NOT NEW.is_sent
        AND (current_setting('messaging.session', true) IS DISTINCT FROM 'engine' OR pg_trigger_depth() > 0))
    EXECUTE FUNCTION messaging._on_update('is_sent')$$);
SELECT messaging._make_trigger('messaging_delete', 'AFTER DELETE', 'public.messages',
    'REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_delete()');
SELECT messaging._make_trigger('messaging_truncate', 'AFTER TRUNCATE', 'public.messages',
    'FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_truncate()');

CREATE OR REPLACE FUNCTION messaging.webhook_id(message_id bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'msg_' || d.tag || '_' || m.id || '_' || lpad(to_hex(m.generation / 128), 6, '0')
    FROM public.messages m, messaging._database d WHERE m.id = message_id
$$;
COMMENT ON FUNCTION messaging.webhook_id(bigint) IS 'The webhook-id header of every request for this message.';
