-- Reconcile: finds messages that are unsent and in no place, and queues them. The cause can be rows inserted without the trigger,
-- replication, a restore, or a defect.

-- Queues the messages of `candidates` that are unsent and in none of queue, schedule, hold, ledger and dead letters. Returns their
-- number. It is one statement with one snapshot, so a message that moves from one place to the next is seen in one of them. LATERAL …
-- LIMIT makes PostgreSQL look up each candidate; PostgreSQL 18 would read all of messages for some thousands of candidates.
-- A message that is held for an endpoint other than its own counts as in no place: a claim that had read the older row may have moved it
-- there. A claim resolved a message if it has the message with other attempts or another generation.
-- Nothing in this file waits for a row lock: a transaction that stays open must not stop reconcile. A locked row comes in a later round.
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
                        EXCEPT SELECT c.id, c.attempts, c.generation FROM messaging._claimed c) unclaimed
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

-- Reads the `max_rows` messages after `after_id`. `candidates` are the unsent ones that the indexes of the places do not have. Most unsent
-- messages are found in the queue by the transaction that inserted them. messaging._queue_lost() checks the candidates; it reads the whole
-- queue. CASE makes the probes index look-ups; in WHERE the planner can turn them into joins. Sequential scans are off, because PostgreSQL
-- 18 would read all of messages to find a fifth of them.
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

-- Queues messages that are held for an endpoint that is active or gone, at most `max_rows`. Returns their number. Such messages exist
-- because a claim that had read an older state may move a message to the hold after the endpoint has become active. The function steps
-- through the index from one endpoint to the next, so its cost grows with the number of endpoints that have messages in the hold.
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

-- Removes sent messages from the dead letters and the hold, with ids above `after_id` and up to `last_id`. A claim moves a message there without
-- its row lock, and a transaction that was open then may have marked the message as sent. LATERAL … LIMIT: a look-up for each, and no join.
CREATE OR REPLACE FUNCTION messaging._remove_sent(after_id bigint, last_id bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM messaging._dead WHERE id = ANY (ARRAY(
        SELECT d.id FROM messaging._dead d
        CROSS JOIN LATERAL (SELECT FROM public.messages m WHERE m.id = d.id AND m.is_sent LIMIT 1) m
        WHERE d.id > after_id AND d.id <= last_id FOR UPDATE OF d SKIP LOCKED));
    DELETE FROM messaging._hold WHERE id = ANY (ARRAY(
        SELECT h.id FROM messaging._hold h
        CROSS JOIN LATERAL (SELECT FROM public.messages m WHERE m.id = h.id AND m.is_sent LIMIT 1) m
        WHERE h.id > after_id AND h.id <= last_id FOR UPDATE OF h SKIP LOCKED));
$$;

-- One round checks the suspects, every 15 seconds the newest 20,000 rows, and the next `max_rows` rows of a walk over all rows. After each
-- round the walk pauses for 50 times the round's duration, so it takes 2 % of a core at most. A walk begins five minutes after the beginning of
-- the one before, at the earliest.
-- Each round reads its rows by id, so neither a huge id nor the order of commits can hide a row.
-- `wait_ms`: the time until the next round may have something to do.
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
        -- Another process has the row locked, or the row was deleted. Without EXISTS the INSERT would wait for that process.
        IF NOT EXISTS (SELECT FROM messaging._reconcile) THEN
            INSERT INTO messaging._reconcile DEFAULT VALUES ON CONFLICT DO NOTHING;
        END IF;
        RETURN;
    END IF;

    -- A clock that was ahead for a while must not stop reconcile.
    mark.next_tail := least(mark.next_tail, began + interval '15 seconds');
    mark.next_round := least(mark.next_round, began + interval '1 hour');

    WITH gone AS (DELETE FROM messaging._suspect RETURNING id)
    SELECT array_agg(DISTINCT id) INTO candidates FROM gone;
    IF candidates IS NOT NULL THEN
        lost := messaging._queue_lost(candidates);
    END IF;

    IF began >= mark.next_tail THEN
        -- Rows older than the newest 20,000 are left to the walk.
        SELECT id INTO last_id FROM public.messages ORDER BY id DESC OFFSET 20000 LIMIT 1;
        SELECT look.candidates INTO candidates FROM messaging._look_for_lost(coalesce(last_id, 0), 20000) look;
        IF candidates IS NOT NULL THEN
            lost := lost + messaging._queue_lost(candidates);
        END IF;
        -- Dead letters of sent messages (messaging._remove_sent) that are older than the newest 1,000 are left to the walk.
        DELETE FROM messaging._dead WHERE id = ANY (ARRAY(
            SELECT id FROM messaging._dead WHERE id = ANY (ARRAY(
                SELECT d.id FROM (SELECT d.id FROM messaging._dead d ORDER BY d.failed_at DESC, d.id + 0 DESC LIMIT 1000) d
                JOIN public.messages m ON m.id = d.id WHERE m.is_sent)) FOR UPDATE SKIP LOCKED));
        returned := messaging._release_strays(50000);
        IF returned > 0 THEN
            PERFORM pg_notify('messaging_ready', '');
        END IF;
        mark.next_tail := clock_timestamp() + CASE WHEN returned = 50000 THEN interval '1 second' ELSE interval '15 seconds' END;
        -- Older messages may be lost as well, so the walk goes on at once.
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
        PERFORM messaging._remove_sent(mark.walked_to, last_id);
        ended := clock_timestamp();
        IF rows_read = max_rows THEN
            mark.walked_to := last_id;
            -- No pause while rounds find lost messages: after a restore there may be millions.
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

-- Checks the rule "an unsent message is in exactly one place, a sent one in none". Returns each message that breaks the rule, with its
-- places. Reads all of messages. A sent message can be in the queue or the schedule for a moment, after a late answer: its next claim
-- removes it without sending it.
CREATE OR REPLACE FUNCTION messaging.misplaced() RETURNS TABLE (id bigint, is_sent boolean, places text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH place AS (
        SELECT q.id, 'queue' AS name FROM messaging._queue q
        UNION ALL SELECT s.id, 'schedule' FROM messaging._schedule s
        UNION ALL SELECT h.id, 'hold' FROM messaging._hold h
        UNION ALL SELECT d.id, 'dead' FROM messaging._dead d
        UNION ALL SELECT c.id, 'claim' FROM messaging._claimed c JOIN public.messages m ON m.id = c.id
            WHERE messaging._is_open(m, c.attempts, c.generation)),
    placed AS MATERIALIZED (
        SELECT p.id, array_agg(p.name ORDER BY p.name) AS places FROM place p GROUP BY p.id)
    SELECT m.id, m.is_sent, coalesce(p.places, '{}')
    FROM public.messages m LEFT JOIN placed p ON p.id = m.id
    WHERE cardinality(coalesce(p.places, '{}')) <> CASE WHEN m.is_sent THEN 0 ELSE 1 END
$$;
COMMENT ON FUNCTION messaging.misplaced() IS
    'Messages that are unsent and not in exactly one place, or sent and still in one. Reads the whole table messages; no rows = all is well.';
