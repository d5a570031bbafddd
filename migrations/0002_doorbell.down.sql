-- Every statement that enqueues sends its NOTIFY again.
CREATE OR REPLACE FUNCTION messaging_enqueue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO message_queue (id) SELECT id FROM new_rows WHERE NOT is_sent;
    IF FOUND THEN
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
        PERFORM pg_notify('messaging_ready', '');
    END IF;
    RETURN NEW;
END $$;
