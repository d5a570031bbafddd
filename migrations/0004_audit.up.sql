-- The audit: finds messages that came past the trigger (session_replication_role = replica, logical replication, a trigger
-- disabled for a while), and queues them. It walks the ids upwards, and reads each row once in its life.
CREATE TABLE message_audit (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    checked_to bigint NOT NULL DEFAULT 0,     -- each row up to here was sent, or known to one of the tables of what is open
    check_to   bigint NOT NULL DEFAULT 0,     -- nobody adds rows up to here any more
    next_to    bigint NOT NULL DEFAULT 0,     -- the last id given out when the audit last looked
    waits_for  text[] NOT NULL DEFAULT '{}'   -- the transactions that might have been given one of those
) WITH (fillfactor = 10);
INSERT INTO message_audit DEFAULT VALUES;

-- An inserter locks the table before it is given an id. So once those that held the lock when the ids were read have ended, all
-- rows with these ids are there to be seen, or never will be.
CREATE FUNCTION messaging_audit(max_rows integer, OUT lost bigint, OUT more boolean)
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    mark message_audit;
    last_id bigint;
    rows_read bigint;
    unsent bigint;
BEGIN
    lost := 0;
    more := false;
    SELECT * INTO mark FROM message_audit FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    IF mark.checked_to >= mark.check_to AND NOT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'relation' AND relation = 'messages'::regclass AND mode = 'RowExclusiveLock'
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND virtualtransaction = ANY (mark.waits_for)) THEN
        mark.check_to := mark.next_to;
        -- Replicated rows bring ids that the sequence has not given out.
        SELECT greatest(CASE WHEN is_called THEN last_value ELSE 0 END, (SELECT coalesce(max(id), 0) FROM messages))
          INTO mark.next_to FROM messages_id_seq;
        mark.waits_for := ARRAY(
            SELECT DISTINCT virtualtransaction FROM pg_locks
            WHERE locktype = 'relation' AND relation = 'messages'::regclass AND mode = 'RowExclusiveLock'
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid());
    END IF;

    IF mark.checked_to < mark.check_to THEN
        SELECT max(id), count(*), count(*) FILTER (WHERE NOT is_sent) INTO last_id, rows_read, unsent
        FROM (SELECT id, is_sent FROM messages WHERE id > mark.checked_to AND id <= mark.check_to ORDER BY id LIMIT max_rows) one;
        more := rows_read = max_rows;
        IF NOT more THEN
            last_id := mark.check_to;
        END IF;
        -- One snapshot: a message on its way from one table to the next is seen in one of them.
        IF unsent > 0 THEN
            WITH open AS MATERIALIZED (
                SELECT id FROM messages WHERE id > mark.checked_to AND id <= last_id AND NOT is_sent),
            known AS MATERIALIZED (
                SELECT q.id FROM message_queue q JOIN open USING (id)
                UNION ALL SELECT s.id FROM message_schedule s JOIN open USING (id)
                UNION ALL SELECT d.id FROM message_dead d JOIN open USING (id)
                UNION ALL SELECT unnest(ids) FROM message_claim),
            queued AS (
                INSERT INTO message_queue (id) SELECT id FROM open EXCEPT SELECT id FROM known RETURNING id)
            SELECT count(*) INTO lost FROM queued;
        END IF;
        mark.checked_to := last_id;
    END IF;

    UPDATE message_audit SET (checked_to, check_to, next_to, waits_for) =
        ROW (mark.checked_to, mark.check_to, mark.next_to, mark.waits_for);
    IF lost > 0 THEN
        PERFORM pg_notify('messaging_ready', '');
    END IF;
END $$;
