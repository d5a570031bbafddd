-- What people and tools use in psql: views of the messages in their places, and functions for what the HTTP API can do. Columns may be added
-- to a view, and none is removed or changes its type.
-- The functions that change messages or states set messaging.session: a caller whose session calls itself an engine's would bypass the triggers
-- otherwise, with the rights of the owner.

CREATE OR REPLACE VIEW messaging.message_status AS
SELECT m.id, 'msg_' || t.tag || '_' || m.id || '_' || lpad(to_hex(m.generation / 128), 6, '0') AS webhook_id,
       messaging._status(m.is_sent, d.id IS NOT NULL, h.id IS NOT NULL, s.id IS NOT NULL, (m.id, m.attempts, m.generation) IN (
           SELECT c.id, c.attempts, c.generation FROM messaging._claimed c)) AS status,
       m.endpoint_id, e.name AS endpoint, m.recipient, m.attempts, m.created_at,
       CASE WHEN NOT m.is_sent THEN s.due_at END AS next_attempt_at, m.sent_at, CASE WHEN NOT m.is_sent THEN d.failed_at END AS dead_at,
       coalesce(CASE WHEN NOT m.is_sent THEN d.reason END, m.last_error) AS last_error, m.receiver_message_id, m.event_id,
       v.type AS event_type
FROM public.messages m
CROSS JOIN messaging._database t
LEFT JOIN messaging._schedule s ON s.id = m.id
LEFT JOIN messaging._hold h ON h.id = m.id
LEFT JOIN messaging._dead d ON d.id = m.id
LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id
LEFT JOIN messaging.events v ON v.id = m.event_id;
COMMENT ON VIEW messaging.message_status IS 'Each message with its status. Quick with WHERE id = …; without it, it reads all messages.';

CREATE OR REPLACE VIEW messaging.dead_letters AS
SELECT m.id, 'msg_' || t.tag || '_' || m.id || '_' || lpad(to_hex(m.generation / 128), 6, '0') AS webhook_id,
       m.endpoint_id, e.name AS endpoint, m.recipient, m.content, m.attempts, d.reason, m.created_at, d.failed_at AS dead_at,
       m.event_id, v.type AS event_type
FROM messaging._dead d
JOIN public.messages m ON m.id = d.id AND NOT m.is_sent
CROSS JOIN messaging._database t
LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id
LEFT JOIN messaging.events v ON v.id = m.event_id;
COMMENT ON VIEW messaging.dead_letters IS 'Messages that were given up, with the reason. messaging.retry(id) sends one again.';

CREATE OR REPLACE VIEW messaging.pending AS
SELECT m.id, m.endpoint_id, e.name AS endpoint, m.recipient, m.created_at, now() - m.created_at AS age
FROM messaging._queue q
JOIN public.messages m ON m.id = q.id AND NOT m.is_sent
LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id;
COMMENT ON VIEW messaging.pending IS 'Messages that are ready, and that no engine has yet. Reads the whole queue.';

CREATE OR REPLACE VIEW messaging.sending AS
SELECT m.id, m.endpoint_id, e.name AS endpoint, m.recipient, i.name AS engine, m.attempts, m.created_at
FROM messaging._claimed c
-- LATERAL … LIMIT: a look-up for each, and no scan of messages.
CROSS JOIN LATERAL (SELECT f.id, f.endpoint_id, f.recipient, f.attempts, f.created_at FROM public.messages f
                    WHERE f.id = c.id AND messaging._is_open(f, c.attempts, c.generation) LIMIT 1) m
LEFT JOIN messaging._instance i ON i.instance_id = c.instance_id
LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id;
COMMENT ON VIEW messaging.sending IS 'Messages that an engine has claimed: being sent, or waiting in its memory.';

CREATE OR REPLACE VIEW messaging.scheduled AS
SELECT m.id, m.endpoint_id, e.name AS endpoint, m.recipient, s.due_at AS next_attempt_at, m.attempts, m.last_error, m.created_at
FROM messaging._schedule s
JOIN public.messages m ON m.id = s.id AND NOT m.is_sent
LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id;
COMMENT ON VIEW messaging.scheduled IS 'Messages that wait for their next attempt.';

CREATE OR REPLACE VIEW messaging.held AS
SELECT m.id, m.endpoint_id, e.name AS endpoint, m.recipient, s.state AS endpoint_state, s.reason AS state_reason, m.created_at,
       now() - m.created_at AS age
FROM messaging._hold h
JOIN public.messages m ON m.id = h.id AND NOT m.is_sent
LEFT JOIN messaging.endpoints e ON e.id = h.endpoint_id
LEFT JOIN messaging._endpoint_state s ON s.endpoint_id = h.endpoint_id;
COMMENT ON VIEW messaging.held IS 'Messages that wait until their endpoint can take them, or is enabled.';

CREATE OR REPLACE VIEW messaging.attempts AS
SELECT a.message_id, a.attempt, a.at AS recorded_at, a.status AS http_status, a.duration_ms, a.error FROM messaging._attempt a;
COMMENT ON VIEW messaging.attempts IS 'Failed attempts. A successful one is told by the message itself.';

CREATE OR REPLACE VIEW messaging.engines AS
SELECT i.instance_id AS id, i.name, i.started_at, i.last_seen, now() - i.last_seen AS heartbeat_age, i.in_flight FROM messaging._instance i;
COMMENT ON VIEW messaging.engines IS
    'The engines that are registered. When one has failed, or has written no heartbeat for about 10 s, another engine reclaims its messages.';

CREATE OR REPLACE VIEW messaging.queue_status AS
SELECT s.state, CASE s.by WHEN 'migration' THEN 'nobody yet' ELSE s.by END AS changed_by, s.since,
       (SELECT count(*) FROM messaging._queue) AS pending, (SELECT count(*) FROM messaging.sending) AS sending,
       (SELECT count(*) FROM messaging._schedule) AS scheduled, (SELECT count(*) FROM messaging._hold) AS held,
       (SELECT count(*) FROM messaging._dead) AS dead,
       (SELECT now() - m.created_at FROM public.messages m WHERE m.id = (SELECT min(q.id) FROM messaging._queue q)) AS oldest_pending_age,
       (SELECT coalesce(sum(b.size), 0) / 10.0 FROM (
           SELECT size, sent_at FROM messaging._sent_batch ORDER BY batch_id DESC LIMIT 5000) b
        WHERE b.sent_at > now() - interval '10 seconds')::double precision AS sent_per_second,
       (SELECT count(*) FROM messaging._instance) AS engines, (SELECT count(*) FROM messaging._receipt_backlog) AS unconfirmed_receipt_batches
FROM messaging._state s;
COMMENT ON VIEW messaging.queue_status IS
    'One row: the service state, and how many messages wait where. Scans the queue and the other places, but not the table messages.';

CREATE OR REPLACE FUNCTION messaging.message_id(webhook_id text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.id FROM public.messages m, messaging._database d
    WHERE m.id = substring($1 FROM '^msg_[^_]+_([0-9]{1,18})_')::bigint
      AND $1 = 'msg_' || d.tag || '_' || m.id || '_' || lpad(to_hex(m.generation / 128), 6, '0')
$$;
COMMENT ON FUNCTION messaging.message_id(text) IS 'The message with this webhook-id; NULL when there is none.';

CREATE OR REPLACE FUNCTION messaging.send(recipient text, content text, endpoint text DEFAULT 'default') RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.messages (recipient, content, endpoint_id) VALUES ($1, $2, messaging._endpoint_id($3)) RETURNING id
$$;
COMMENT ON FUNCTION messaging.send(text, text, text) IS 'Inserts a message for an endpoint, named or by its id. Returns the message''s id.';

-- Returns one row for each id, also for those that it does not send again.
CREATE OR REPLACE FUNCTION messaging.retry(VARIADIC ids bigint[]) RETURNS TABLE (id bigint, result text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET messaging.session = '' AS $$
DECLARE
    before text;
BEGIN
    FOREACH id IN ARRAY ids LOOP
        SELECT s.status INTO before FROM messaging.message_status s WHERE s.id = retry.id;
        UPDATE public.messages m SET is_sent = false WHERE m.id = retry.id AND before IN ('sent', 'dead', 'scheduled');
        result := CASE WHEN before IS NULL THEN 'not found' WHEN FOUND THEN 'queued' WHEN before = 'sending' THEN 'being sent'
                       ELSE 'already waiting' END;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION messaging.retry(bigint[]) IS 'Sends messages again that are sent, dead-lettered or scheduled; the others stay as they are.';

-- A message that an engine has claimed cannot be cancelled. A message that an engine is claiming at this moment, or that somebody is changing,
-- is locked, and counts as being sent.
-- The message's row is locked before its place, in the order of an UPDATE. So a message cannot be marked as sent at the same time, which would
-- leave it among the dead letters.
-- The queue has no index on the id. As a rule the transaction that wrote a message last also wrote its row in the queue, so the index
-- _queue_fifo finds that row by the xmin of the message. This fails if the message was written after a savepoint, if somebody has changed it
-- since, or if an engine has released it. A message that was sent again can have two rows in the queue, or one there and one in another place,
-- and cancelling must remove all of them. For all these messages together the whole queue is read once.
-- If an engine is claiming one of these rows, the message is being sent, and the other row stays. An engine may also have claimed one since the
-- status was read: once all rows are locked, the ledger tells.
CREATE OR REPLACE FUNCTION messaging.cancel(ids bigint[], reason text DEFAULT 'cancelled') RETURNS TABLE (id bigint, result text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET messaging.session = '' AS $$
DECLARE
    -- No transaction that can be seen here is newer. It completes an xmin, which has the lower 32 bits only.
    newest CONSTANT bigint := greatest(pg_current_xact_id()::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint);
    unsent bigint[] := ARRAY(
        -- LATERAL … LIMIT: a look-up for each, and no scan.
        SELECT m.id FROM (SELECT DISTINCT unnest(ids) AS id ORDER BY 1) c CROSS JOIN LATERAL (
            SELECT f.id FROM public.messages f WHERE f.id = c.id AND NOT f.is_sent LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) m);
    queue_rows tid[];
    to_search bigint[];
    claimed bigint[];
    taken bigint[];
BEGIN
    SELECT array_agg(q.ctid) FILTER (WHERE q.ctid IS NOT NULL),
           array_agg(c.id) FILTER (WHERE q.ctid IS NULL AND (s.status = 'pending' OR m.was_sent_again AND s.status IN ('scheduled', 'held')))
    INTO queue_rows, to_search
    FROM unnest(unsent) AS c(id)
    CROSS JOIN LATERAL (
        SELECT f.generation % 128 <> 0 AS was_sent_again, newest - ((newest - f.xmin::text::bigint) & 4294967295) AS xid
        FROM public.messages f WHERE f.id = c.id LIMIT 1) m
    CROSS JOIN LATERAL (SELECT f.status FROM messaging.message_status f WHERE f.id = c.id LIMIT 1) s
    LEFT JOIN LATERAL (
        SELECT f.ctid FROM messaging._queue f WHERE f.xid = m.xid::text::xid8 AND f.id = c.id AND NOT m.was_sent_again
        LIMIT 1 FOR UPDATE SKIP LOCKED) q ON true;
    IF to_search IS NOT NULL THEN
        WITH seen_in_queue AS MATERIALIZED (SELECT f.ctid, f.id FROM messaging._queue f WHERE f.id = ANY (to_search)),
        seen AS (
            SELECT q.id FROM seen_in_queue q
            UNION ALL SELECT f.id FROM messaging._schedule f WHERE f.id = ANY (to_search)
            UNION ALL SELECT f.id FROM messaging._hold f WHERE f.id = ANY (to_search)),
        in_queue AS MATERIALIZED (
            SELECT f.ctid, f.id FROM messaging._queue f WHERE f.ctid = ANY (ARRAY(SELECT q.ctid FROM seen_in_queue q)) FOR UPDATE SKIP LOCKED),
        in_schedule AS MATERIALIZED (SELECT f.id FROM messaging._schedule f WHERE f.id = ANY (to_search) FOR UPDATE SKIP LOCKED),
        in_hold AS MATERIALIZED (SELECT f.id FROM messaging._hold f WHERE f.id = ANY (to_search) FOR UPDATE SKIP LOCKED)
        SELECT queue_rows || ARRAY(SELECT q.ctid FROM in_queue q), ARRAY(
            SELECT f.id FROM seen f
            EXCEPT ALL (SELECT q.id FROM in_queue q UNION ALL SELECT s.id FROM in_schedule s UNION ALL SELECT h.id FROM in_hold h))
        INTO queue_rows, claimed;
        claimed := claimed || ARRAY(
            SELECT c.id FROM messaging._claimed c
            CROSS JOIN LATERAL (
                SELECT FROM public.messages f WHERE f.id = c.id AND messaging._is_open(f, c.attempts, c.generation) LIMIT 1) m
            WHERE c.id = ANY (to_search));
        unsent := ARRAY(SELECT unnest(unsent) EXCEPT SELECT unnest(claimed));
    END IF;
    WITH queued AS (
        DELETE FROM messaging._queue q WHERE q.ctid = ANY (queue_rows) AND q.id = ANY (unsent) RETURNING q.id),
    scheduled AS (
        DELETE FROM messaging._schedule s WHERE s.id = ANY (ARRAY(
            SELECT f.id FROM messaging._schedule f WHERE f.id = ANY (unsent) FOR UPDATE SKIP LOCKED)) RETURNING s.id),
    held AS (
        DELETE FROM messaging._hold h WHERE h.id = ANY (ARRAY(
            SELECT f.id FROM messaging._hold f WHERE f.id = ANY (unsent) FOR UPDATE SKIP LOCKED)) RETURNING h.id),
    dead AS (
        INSERT INTO messaging._dead (id, reason)
        SELECT p.id, left(coalesce(nullif(cancel.reason, ''), 'cancelled'), 500)
        FROM (SELECT * FROM queued UNION SELECT * FROM scheduled UNION SELECT * FROM held) p
        ON CONFLICT DO NOTHING RETURNING _dead.id)
    SELECT array_agg(d.id) INTO taken FROM dead d;
    RETURN QUERY
        SELECT c.id, CASE WHEN c.id = ANY (taken) THEN 'cancelled' WHEN s.status IS NULL THEN 'not found' WHEN s.status = 'sent' THEN 'already sent'
                          WHEN s.status = 'dead' THEN 'already dead' ELSE 'being sent' END
        FROM unnest(ids) WITH ORDINALITY AS c(id, place)
        LEFT JOIN LATERAL (SELECT f.status FROM messaging.message_status f WHERE f.id = c.id LIMIT 1) s ON true ORDER BY c.place;
END $$;
COMMENT ON FUNCTION messaging.cancel(bigint[], text) IS
    'Dead-letters messages that wait, with this reason; messaging.retry() sends them after all. Quick for messages that were inserted and not '
    'changed since; for others, such as those that were sent again, it reads the whole queue.';

CREATE OR REPLACE FUNCTION messaging.timeline(id bigint) RETURNS TABLE (at timestamptz, what text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.at, t.what FROM (
        SELECT 1 AS step, m.created_at AS at, 'inserted' AS what FROM public.messages m WHERE m.id = $1
        UNION ALL
        SELECT 2, a.at, 'attempt ' || a.attempt || ': ' || coalesce('HTTP ' || a.status, a.error) || ' after ' || a.duration_ms || ' ms'
        FROM messaging._attempt a WHERE a.message_id = $1
        UNION ALL
        SELECT 3, coalesce(s.sent_at, s.dead_at, now()),
               CASE s.status WHEN 'sent' THEN 'sent' WHEN 'dead' THEN 'dead: ' || s.last_error
                             WHEN 'scheduled' THEN 'next attempt at ' || to_char(s.next_attempt_at, 'HH24:MI:SS') ELSE 'now ' || s.status END
        FROM messaging.message_status s WHERE s.id = $1) t
    ORDER BY t.at, t.step
$$;
COMMENT ON FUNCTION messaging.timeline(bigint) IS 'What has happened to a message, and what it waits for.';

CREATE OR REPLACE FUNCTION messaging._set_state(wanted text) RETURNS messaging.queue_status
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    status messaging.queue_status;
BEGIN
    INSERT INTO messaging._state AS s (state, since, by) VALUES (wanted, now(), 'sql ' || session_user)
    ON CONFLICT (only_row) DO UPDATE SET state = excluded.state, since = excluded.since, by = excluded.by WHERE s.state <> excluded.state;
    SELECT * INTO status FROM messaging.queue_status;
    RETURN status;
END $$;
CREATE OR REPLACE FUNCTION messaging.start() RETURNS messaging.queue_status
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT * FROM messaging._set_state('running') $$;
CREATE OR REPLACE FUNCTION messaging.stop() RETURNS messaging.queue_status
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT * FROM messaging._set_state('stopped') $$;
COMMENT ON FUNCTION messaging.start() IS 'Switches sending on, for all processes and over restarts.';
COMMENT ON FUNCTION messaging.stop() IS 'Switches sending off: nothing new is claimed, and what is in flight finishes.';
