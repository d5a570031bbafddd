-- Finds messages that are unsent and in no place, whatever the cause (rows past the trigger, replication, a restore, a defect), and
-- queues them.

-- Queues those of `candidates` that are unsent and in none of queue, schedule, hold, ledger and dead; answers how many. One
-- statement, so one snapshot: a message on its way from one place to the next is seen in one of them. LATERAL … LIMIT keeps the reading
-- of messages a look-up for each candidate: PostgreSQL 18 would read it whole for some thousands of them.
-- What is held for another endpoint than its own is in no place either: a claim that had read the older row may hold it so. Nothing in
-- this file waits for a row's lock: a transaction that stays open must not stop reconcile, and what is locked now comes in a later round. A claim
-- that names a message with other attempts, or another generation, has resolved it already.
CREATE OR REPLACE FUNCTION messaging._queue_lost(candidates bigint[]) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH open AS MATERIALIZED (
        SELECT c.id, m.endpoint_id, m.attempts, m.generation FROM unnest(candidates) AS c(id)
        CROSS JOIN LATERAL (SELECT m.is_sent, m.endpoint_id, m.attempts, m.generation FROM public.messages m WHERE m.id = c.id LIMIT 1) m
        WHERE NOT m.is_sent),
    known AS MATERIALIZED (
        SELECT q.id FROM messaging._queue q JOIN open USING (id)
        UNION ALL SELECT s.id FROM messaging._schedule s JOIN open USING (id)
        UNION ALL SELECT h.id FROM messaging._hold h JOIN open USING (id, endpoint_id)
        UNION ALL SELECT d.id FROM messaging._dead d JOIN open USING (id)),
    lost AS MATERIALIZED (
        SELECT id FROM (SELECT id, attempts, generation FROM open
                        EXCEPT SELECT u.id, u.attempts, u.generation FROM messaging._claim c
                        CROSS JOIN LATERAL unnest(c.ids, c.attempts, c.generations) AS u(id, attempts, generation)) unclaimed
        EXCEPT SELECT id FROM known),
    misheld AS MATERIALIZED (
        SELECT id FROM messaging._hold WHERE id = ANY (ARRAY(SELECT id FROM lost))),
    released AS (
        DELETE FROM messaging._hold WHERE id = ANY (ARRAY(
            SELECT id FROM messaging._hold WHERE id = ANY (ARRAY(SELECT id FROM misheld)) FOR UPDATE SKIP LOCKED)) RETURNING id),
    queued AS (
        INSERT INTO messaging._queue (id)
        SELECT id FROM lost WHERE id NOT IN (SELECT id FROM misheld) OR id IN (SELECT id FROM released) RETURNING id)
    SELECT count(*) FROM queued
$$;

-- Those of the `max_rows` messages after `after_id` that are unsent and, by a look into each place's index, in none: most are found in the
-- queue, by the transaction that inserted them. What is left goes on to messaging._queue_lost(), which reads the whole queue. CASE keeps
-- the probes look-ups: in WHERE the planner can turn them into joins. No sequential scan: PostgreSQL 18 would read all of messages for a
-- fifth of it.
CREATE OR REPLACE FUNCTION messaging._look_for_lost(
    after_id bigint, max_rows integer, OUT last_id bigint, OUT rows_read bigint, OUT candidates bigint[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
    SELECT max(m.id), count(*), array_agg(m.id) FILTER (WHERE CASE WHEN m.is_sent THEN false ELSE
               NOT EXISTS (SELECT FROM messaging._queue q WHERE q.xid = (now_xid.number - age(m.xmin))::text::xid8 AND q.id = m.id)
               AND NOT EXISTS (SELECT FROM messaging._schedule s WHERE s.id = m.id)
               AND NOT EXISTS (SELECT FROM messaging._hold h WHERE h.id = m.id AND h.endpoint_id = m.endpoint_id)
               AND NOT EXISTS (SELECT FROM messaging._dead d WHERE d.id = m.id) END)
    INTO last_id, rows_read, candidates
    FROM (SELECT pg_current_xact_id()::text::bigint AS number OFFSET 0) now_xid,
         (SELECT id, is_sent, endpoint_id, xmin FROM public.messages WHERE id > after_id ORDER BY id LIMIT max_rows) m;
END $$;

-- Queues what is held for an endpoint that is active or gone: a claim that had read an older state may hold a message after the
-- endpoint has become active. It steps through the index from one endpoint to the next, so its cost follows the endpoints on hold. At most
-- `max_rows`, so that no endpoint's millions outlast the statement's time; answers how many.
CREATE OR REPLACE FUNCTION messaging._release_strays(max_rows integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE held AS (
        (SELECT endpoint_id FROM messaging._hold ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT n.endpoint_id FROM messaging._hold n WHERE n.endpoint_id > h.endpoint_id ORDER BY n.endpoint_id LIMIT 1)
        FROM held h WHERE h.endpoint_id IS NOT NULL),
    free AS MATERIALIZED (
        SELECT h.endpoint_id FROM held h LEFT JOIN messaging._endpoint_state s ON s.endpoint_id = h.endpoint_id
        WHERE h.endpoint_id IS NOT NULL AND coalesce(s.state, 'active') = 'active'),
    strays AS MATERIALIZED (
        SELECT s.id FROM free f CROSS JOIN LATERAL (
            SELECT id FROM messaging._hold h WHERE h.endpoint_id = f.endpoint_id ORDER BY h.id + 0 LIMIT max_rows
            FOR UPDATE SKIP LOCKED) s LIMIT max_rows),
    returned AS (
        DELETE FROM messaging._hold WHERE id = ANY (ARRAY(SELECT id FROM strays)) RETURNING id),
    queued AS (
        INSERT INTO messaging._queue (id) SELECT id FROM returned ORDER BY id RETURNING id)
    SELECT count(*) FROM queued
$$;

-- One round: the suspects, now and then the newest 20,000 rows, and the next `max_rows` rows of a walk over all of them. A walk
-- rests 50 times what each round costs, so that it takes 2 % of a core at most, and begins no more often than every five minutes.
-- Rows are read by their ids, each round on its own, so neither a huge id nor an order of commits can hide one.
-- `wait_ms`: when the next round may have something to do.
CREATE OR REPLACE FUNCTION messaging._reconcile_round(
    max_rows integer, OUT lost bigint, OUT wait_ms bigint, OUT walk_seconds double precision, OUT cost_ms double precision)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mark messaging._reconcile;
    candidates bigint[];
    last_id bigint;
    rows_read bigint;
    returned bigint;
    began timestamptz := clock_timestamp();
    ended timestamptz;
BEGIN
    lost := 0;
    wait_ms := 1000;
    cost_ms := 0;
    SELECT * INTO mark FROM messaging._reconcile FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- Another process has it, or it was deleted. Without EXISTS this would wait for the other process.
        IF NOT EXISTS (SELECT FROM messaging._reconcile) THEN
            INSERT INTO messaging._reconcile DEFAULT VALUES ON CONFLICT DO NOTHING;
        END IF;
        RETURN;
    END IF;

    -- A clock that was ahead for a while must not switch this off.
    mark.next_tail := least(mark.next_tail, began + interval '15 seconds');
    mark.next_round := least(mark.next_round, began + interval '1 hour');

    WITH gone AS (DELETE FROM messaging._suspect RETURNING id)
    SELECT array_agg(DISTINCT id) INTO candidates FROM gone;
    IF candidates IS NOT NULL THEN
        lost := messaging._queue_lost(candidates);
    END IF;

    IF began >= mark.next_tail THEN
        -- What comes behind the last 20,000 rows is the walk's.
        SELECT id INTO last_id FROM public.messages ORDER BY id DESC OFFSET 20000 LIMIT 1;
        SELECT look.candidates INTO candidates FROM messaging._look_for_lost(coalesce(last_id, 0), 20000) look;
        IF candidates IS NOT NULL THEN
            lost := lost + messaging._queue_lost(candidates);
        END IF;
        -- A claim dead-letters a message without its row's lock: somebody may have marked it as sent in a transaction that was open then.
        DELETE FROM messaging._dead WHERE id = ANY (ARRAY(
            SELECT id FROM messaging._dead WHERE id = ANY (ARRAY(
                SELECT d.id FROM (SELECT d.id FROM messaging._dead d ORDER BY d.failed_at DESC, d.id + 0 DESC LIMIT 1000) d
                JOIN public.messages m ON m.id = d.id WHERE m.is_sent)) FOR UPDATE SKIP LOCKED));
        returned := messaging._release_strays(50000);
        IF returned > 0 THEN
            PERFORM pg_notify('messaging_ready', '');
        END IF;
        mark.next_tail := clock_timestamp() + CASE WHEN returned = 50000 THEN interval '1 second' ELSE interval '15 seconds' END;
        -- Where some were lost there may be more, further back.
        IF lost > 0 THEN
            mark.next_round := began;
        END IF;
    END IF;

    IF began >= mark.next_round THEN
        IF mark.walked_to = 0 THEN
            mark.walk_began := began;
        END IF;
        SELECT look.last_id, look.rows_read, look.candidates INTO last_id, rows_read, candidates
        FROM messaging._look_for_lost(mark.walked_to, max_rows) look;
        IF candidates IS NOT NULL THEN
            lost := lost + messaging._queue_lost(candidates);
        END IF;
        ended := clock_timestamp();
        IF rows_read = max_rows THEN
            mark.walked_to := last_id;
            -- No rest while messages are being found: after a restore there may be millions.
            mark.next_round := ended + CASE WHEN lost > 0 THEN interval '0' ELSE (ended - began) * 50 END;
        ELSE
            mark.walk_took := ended - mark.walk_began;
            mark.walked_to := 0;
            mark.next_round := greatest(ended + (ended - began) * 50, mark.walk_began + interval '5 minutes');
        END IF;
    END IF;

    UPDATE messaging._reconcile SET (walked_to, walk_began, walk_took, next_round, next_tail) =
        ROW (mark.walked_to, mark.walk_began, mark.walk_took, mark.next_round, mark.next_tail);
    IF lost > 0 THEN
        PERFORM pg_notify('messaging_ready', '');
    END IF;
    ended := clock_timestamp();
    wait_ms := greatest(0, ceil(extract(epoch FROM least(mark.next_round, mark.next_tail) - ended) * 1000));
    walk_seconds := extract(epoch FROM mark.walk_took);
    cost_ms := extract(epoch FROM ended - began) * 1000;
END $$;

-- An operator's check of the rule "an unsent message is in exactly one place, a sent one in none". Answers each message that
-- breaks it, with the places it is in. It reads all of messages. A sent message can stand in the queue or the schedule for a
-- moment (an answer that came late); it leaves at its next claim, unsent.
CREATE OR REPLACE FUNCTION messaging.misplaced() RETURNS TABLE (id bigint, is_sent boolean, places text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH place AS (
        SELECT q.id, 'queue' AS name FROM messaging._queue q
        UNION ALL SELECT s.id, 'schedule' FROM messaging._schedule s
        UNION ALL SELECT h.id, 'hold' FROM messaging._hold h
        UNION ALL SELECT d.id, 'dead' FROM messaging._dead d
        UNION ALL SELECT m.id, 'claim' FROM messaging._claim c
            CROSS JOIN LATERAL unnest(c.ids, c.attempts, c.generations) AS u(id, attempts, generation)
            JOIN public.messages m ON m.id = u.id
            WHERE NOT m.is_sent AND (m.attempts, m.generation) = (u.attempts, u.generation)),
    placed AS MATERIALIZED (
        SELECT p.id, array_agg(p.name ORDER BY p.name) AS places FROM place p GROUP BY p.id)
    SELECT m.id, m.is_sent, coalesce(p.places, '{}')
    FROM public.messages m LEFT JOIN placed p ON p.id = m.id
    WHERE cardinality(coalesce(p.places, '{}')) <> CASE WHEN m.is_sent THEN 0 ELSE 1 END
$$;
COMMENT ON FUNCTION messaging.misplaced() IS
    'Messages that are unsent and not in exactly one place, or sent and still in one. Reads the whole table messages; no rows = all is well.';
