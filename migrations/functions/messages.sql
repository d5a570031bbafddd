-- The triggers of public.messages: what an INSERT, an UPDATE, a DELETE and a TRUNCATE mean to the service. SECURITY DEFINER with a
-- fixed search_path: an application's role needs INSERT on messages and nothing else. EXECUTE is revoked from PUBLIC, so that
-- nobody can put these functions on a table of their own; a trigger fires without that right.

-- The doorbell. A NOTIFY holds a lock of the whole cluster until its commit is on the disk, so that inserters wait for each
-- other. A sleeping engine holds the advisory lock (771, 1) exclusively. An inserter tries to take the lock shared, until its own
-- transaction ends. Where it gets the lock, no engine sleeps with it, and no NOTIFY is sent. Where it does not, one does, and the
-- inserter sends a NOTIFY, even if other engines are awake (docs/claim-protocol.md).
-- SET messaging.notify = 'off' leaves both out, for transactions that PostgreSQL must PREPARE (two-phase commit), which it refuses
-- after a NOTIFY. Their messages are found by the engines' poll, within a second of the commit.
CREATE OR REPLACE FUNCTION messaging._ring() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
    -- As messaging._ring(), without the cost of a second function for each INSERT.
    IF FOUND AND coalesce(current_setting('messaging.notify', true), '') <> 'off' AND NOT pg_try_advisory_xact_lock_shared(771, 1) THEN
        PERFORM pg_notify('messaging_ready', '');
    END IF;
    RETURN NULL;
END $$;

-- A row that is inserted as sent is in the sent log like one that is marked by hand.
CREATE OR REPLACE FUNCTION messaging._on_insert_sent() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'public.messages'::regclass THEN
        RAISE EXCEPTION 'messaging._on_insert_sent() serves public.messages only';
    END IF;
    INSERT INTO messaging._sent_batch (sent_at, size, ids) VALUES (NEW.sent_at, 0, ARRAY[NEW.id]);
    RETURN NULL;
END $$;

-- Any UPDATE that is not an engine's own. The columns that the protocol rests on keep their values, so that an ORM which saves
-- whole rows, or an operator who edits attempts, cannot make a claimed message look resolved. A message that goes from
-- sent to unsent is sent again, also where an application's own trigger has decided so. A message that somebody marks as sent
-- leaves its places; its row in the queue goes at the next claim.
-- 'is_sent' as the argument: the statement names is_sent = false, which also sends again what is dead-lettered or waits for a
-- retry. What is queued, held or in flight stays as it is. The message gets all its attempts back, and its generation changes,
-- so that no late outcome of the earlier sending is taken for the new one's.
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
        -- The list of sent messages goes by the sent log, so what is marked by hand has an entry there, too. A size of 0 keeps it out of the
        -- rate of sending. clock_timestamp(), because an entry counts only while the message has its time.
        IF NEW.is_sent AND NOT OLD.is_sent THEN
            NEW.sent_at := clock_timestamp();
            INSERT INTO messaging._sent_batch (sent_at, size, ids) VALUES (NEW.sent_at, 0, ARRAY[NEW.id]);
        ELSE
            NEW.sent_at := OLD.sent_at;
        END IF;
        -- What was held for one endpoint is ready for the other, and not for one that it is no longer meant for.
        IF NEW.endpoint_id <> OLD.endpoint_id AND NOT OLD.is_sent AND NOT NEW.is_sent THEN
            DELETE FROM messaging._hold WHERE id = NEW.id;
            IF FOUND THEN
                INSERT INTO messaging._queue (id) VALUES (NEW.id);
                PERFORM messaging._ring();
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
        PERFORM messaging._ring();
    END IF;
    RETURN NEW;
END $$;

-- What is deleted leaves its places and its attempts behind.
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

-- TRUNCATE … RESTART IDENTITY gives the ids out again: nothing may remember them.
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
    IF to_regclass('messaging._idempotency_key') IS NOT NULL THEN  -- `migrate down` may have removed it
        DELETE FROM messaging._idempotency_key;
    END IF;
    RETURN NULL;
END $$;

-- An engine's own UPDATE is left as it is. What an application's trigger updates within it is the application's: that is deeper.
-- BEFORE triggers fire in the order of their names: zz_, so that an application's own come first and their result is what counts.
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
