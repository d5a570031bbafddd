-- The doorbell. A NOTIFY holds a lock of the whole cluster until its commit is on the disk, so that inserters wait for each
-- other; here it is sent only when no engine is awake. Engines hold the advisory lock (771, 1) exclusively while they sleep:
-- an inserter that gets it shared, until its own transaction ends, knows that somebody is awake and will look again.
-- src/README.md has the protocol and its reasons.
CREATE OR REPLACE FUNCTION messaging_enqueue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO message_queue (id) SELECT id FROM new_rows WHERE NOT is_sent;
    IF FOUND AND NOT pg_try_advisory_xact_lock_shared(771, 1) THEN
        PERFORM pg_notify('messaging_ready', '');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION messaging_resend() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
        IF NOT pg_try_advisory_xact_lock_shared(771, 1) THEN
            PERFORM pg_notify('messaging_ready', '');
        END IF;
    END IF;
    RETURN NEW;
END $$;
