-- Replays: messages that are sent again by a filter, in the background. The processes run messaging._replay_round() in turn.
--
-- A replayed message is the same message, sent again: as UPDATE messages SET is_sent = false does it, but it goes into the schedule, due now,
-- and not into the queue. Due messages take turns with ready ones, and few of them are there at a time, so a replay delays no fresh message
-- by more than the requests for these few. A batch, its position and its counts are one transaction.

-- How many messages an endpoint takes at once: requests at a time, and of a limited rate what a quarter of a second has.
CREATE OR REPLACE FUNCTION messaging._replay_at_once(max_in_flight integer, rate_limit integer) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT least(max_in_flight, (rate_limit + 3) / 4)
$$;

-- The limits. At most `max_waiting` messages of a replay wait for their attempt at a time. An endpoint gets `few` messages in its first batch. If all
-- messages of its last batch were sent within `quick`, the next batch is larger by half. If some still wait after `quick`, the endpoint gets as many
-- as are missing from `few`.
CREATE OR REPLACE FUNCTION messaging._replay_limits(
    OUT max_waiting integer, OUT few integer, OUT quick interval, OUT rows_per_round integer, OUT rows_per_look integer,
    OUT max_running integer, OUT counted_rows integer, OUT counted_messages integer, OUT kept interval)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 100, 8, interval '200 milliseconds', 5000, 250, 100, 100000, 10000, interval '30 days'
$$;

CREATE OR REPLACE VIEW messaging.replays AS
SELECT r.id, r.state, r.status, r.endpoint_id, e.name AS endpoint, r.event_type, r.tenant, r.since, r.until,
       CASE WHEN r.state = 'done' OR r.last_id <= r.first_id THEN 1
            ELSE round((r.walked_to - r.first_id)::numeric / (r.last_id - r.first_id), 4) END::double precision AS progress,
       r.replayed, r.skipped, r.refused, r.last_error, r.created_by, r.created_at, r.finished_at
FROM messaging._replay r LEFT JOIN messaging.endpoints e ON e.id = r.endpoint_id;
COMMENT ON VIEW messaging.replays IS
    'Replays and how far they are: state is running, done or cancelled; progress is from 0 to 1; skipped and refused are messages that the filter '
    'chose and that were not sent again. Kept for 30 days after their end.';

-- Turns the arguments of a filter into a row of _replay. Raises an error that begins with the name of the wrong argument.
CREATE OR REPLACE FUNCTION messaging._replay_filter(
    endpoint text, status text, since timestamptz, until timestamptz, event_type text, tenant text) RETURNS messaging._replay
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_time CONSTANT timestamptz := '1970-01-01 00:00+00';
    end_of_time CONSTANT timestamptz := '3000-01-01 00:00+00';
    margin CONSTANT interval := '10 minutes';  -- for transactions that were open before they inserted
    r messaging._replay;
    problem text;
BEGIN
    r.status := coalesce(_replay_filter.status, 'dead');
    r.since := _replay_filter.since;
    r.until := _replay_filter.until;
    r.event_type := _replay_filter.event_type;
    r.tenant := _replay_filter.tenant;
    problem := CASE
        WHEN r.status NOT IN ('dead', 'sent', 'both') THEN 'status must be dead, sent or both'
        WHEN num_nonnulls(_replay_filter.endpoint, r.since, r.event_type, r.tenant) = 0
             AND _replay_filter.status IS DISTINCT FROM 'dead' THEN
            'the filter would replay everything: name endpoint, since, event_type or tenant, or status dead alone'
        WHEN r.event_type !~ '^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*([.][*])?$' OR octet_length(r.event_type) > 130 THEN
            'event_type must be a type of events, such as invoice.paid, or all below a name, such as invoice.*'
        WHEN octet_length(r.tenant) NOT BETWEEN 1 AND 255 THEN 'tenant must be 1 to 255 bytes long'
        WHEN r.since >= r.until THEN 'until must be later than since' END;
    IF problem IS NULL AND _replay_filter.endpoint IS NOT NULL THEN
        BEGIN
            r.endpoint_id := messaging._endpoint_id(_replay_filter.endpoint);
        EXCEPTION WHEN no_data_found THEN
            problem := 'endpoint must be the name or the id of an endpoint: there is no such endpoint';
        END;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'check_violation';
    END IF;
    -- Only what was sent or dead-lettered before is replayed.
    r.created_at := clock_timestamp();
    r.first_id := CASE WHEN r.since <= first_time + margin OR r.since IS NULL THEN 0
                       ELSE messaging._last_id_before(least(r.since, end_of_time) - margin) END;
    r.last_id := CASE WHEN r.until >= end_of_time OR r.until IS NULL THEN coalesce((SELECT id FROM public.messages ORDER BY id DESC LIMIT 1), 0)
                      ELSE messaging._last_id_before(greatest(r.until, first_time) + margin) END;
    r.last_id := greatest(r.first_id, r.last_id);
    r.walked_to := r.first_id;
    RETURN r;
END $$;

-- The next `max_rows` messages after `after_id`, in the order of their ids; `fits`: whether the filter chooses it. A filter for dead letters reads
-- these only. LATERAL … LIMIT: a look-up for each, and no scan.
CREATE OR REPLACE FUNCTION messaging._replay_look(r messaging._replay, after_id bigint, max_rows integer)
RETURNS TABLE (id bigint, fits boolean, endpoint_id bigint, endpoint_state text, at_once integer)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    all_below CONSTANT text := CASE WHEN r.event_type LIKE '%.*' THEN left(r.event_type, -1) END;  -- invoice.* gives invoice.
BEGIN
    RETURN QUERY
        SELECT m.id, coalesce(c.may_fit AND (m.is_sent OR d.is_it) AND (r.event_type IS NULL OR v.is_it) AND (r.tenant IS NULL OR e.tenant = r.tenant),
                              false),
               m.endpoint_id, s.state, messaging._replay_at_once(e.max_in_flight, e.rate_limit)
        FROM ((SELECT f.id, f.endpoint_id, f.is_sent, f.event_id, f.created_at, f.sent_at FROM public.messages f
               WHERE r.status <> 'dead' AND f.id > after_id AND f.id <= r.last_id ORDER BY f.id LIMIT max_rows)
              UNION ALL
              (SELECT g.id, f.endpoint_id, f.is_sent, f.event_id, f.created_at, f.sent_at
               FROM (SELECT h.id FROM messaging._dead h WHERE r.status = 'dead' AND h.id > after_id AND h.id <= r.last_id ORDER BY h.id LIMIT max_rows) g
               LEFT JOIN LATERAL (
                   SELECT h.endpoint_id, h.is_sent, h.event_id, h.created_at, h.sent_at FROM public.messages h WHERE h.id = g.id LIMIT 1) f ON true)) m
        CROSS JOIN LATERAL (
            SELECT (r.endpoint_id IS NULL OR m.endpoint_id = r.endpoint_id) AND (r.since IS NULL OR m.created_at >= r.since)
                   AND (r.until IS NULL OR m.created_at < r.until)
                   AND CASE WHEN m.is_sent THEN r.status <> 'dead' AND (m.sent_at <= r.created_at) IS NOT FALSE ELSE r.status <> 'sent' END AS may_fit
            OFFSET 0) c
        LEFT JOIN LATERAL (
            SELECT f.failed_at <= r.created_at AS is_it FROM messaging._dead f WHERE f.id = m.id AND c.may_fit AND NOT m.is_sent LIMIT 1) d ON true
        LEFT JOIN LATERAL (
            SELECT f.type = r.event_type OR starts_with(f.type, all_below) AS is_it FROM messaging.events f
            WHERE f.id = m.event_id AND c.may_fit AND r.event_type IS NOT NULL LIMIT 1) v ON true
        LEFT JOIN LATERAL (
            SELECT f.tenant, f.max_in_flight, f.rate_limit FROM messaging.endpoints f
            WHERE f.id = m.endpoint_id AND c.may_fit AND (r.event_type IS NULL OR v.is_it) LIMIT 1) e ON true
        LEFT JOIN LATERAL (
            SELECT f.state FROM messaging._endpoint_state f
            WHERE f.endpoint_id = m.endpoint_id AND c.may_fit AND (r.event_type IS NULL OR v.is_it) LIMIT 1) s ON true
        ORDER BY m.id;
END $$;

CREATE OR REPLACE FUNCTION messaging._replay_count(r messaging._replay, OUT matching bigint, OUT exact boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    limits CONSTANT record := messaging._replay_limits();
    position_ bigint := r.first_id;
    rows_left integer := limits.counted_rows;
    found_here bigint;
    read_here bigint;
    last_here bigint;
BEGIN
    matching := 0;
    LOOP
        SELECT count(*) FILTER (WHERE l.fits), count(*), max(l.id) INTO found_here, read_here, last_here
        FROM messaging._replay_look(r, position_, limits.rows_per_round) l;
        matching := matching + found_here;
        rows_left := rows_left - read_here;
        position_ := last_here;
        exact := read_here < limits.rows_per_round;
        EXIT WHEN exact OR rows_left <= 0 OR matching >= limits.counted_messages;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION messaging.count_replay(
    endpoint text DEFAULT NULL, status text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    event_type text DEFAULT NULL, tenant text DEFAULT NULL) RETURNS TABLE (matching bigint, exact boolean)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.matching, c.exact FROM messaging._replay_count(messaging._replay_filter($1, $2, $3, $4, $5, $6)) c
$$;
COMMENT ON FUNCTION messaging.count_replay(text, text, timestamptz, timestamptz, text, text) IS
    'How many messages messaging.replay() would send again. Reads 100,000 rows and counts 10,000 messages at most: where exact is false, there may be more.';

CREATE OR REPLACE FUNCTION messaging._create_replay(
    endpoint text, status text, since timestamptz, until timestamptz, event_type text, tenant text, created_by text) RETURNS messaging.replays
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    limits CONSTANT record := messaging._replay_limits();
    r messaging._replay := messaging._replay_filter(endpoint, status, since, until, event_type, tenant);
    created messaging.replays;
BEGIN
    IF (SELECT count(*) FROM messaging._replay p WHERE p.state = 'running') >= limits.max_running THEN
        RAISE EXCEPTION '% replays are running: wait for one to end, or cancel one', limits.max_running USING ERRCODE = 'program_limit_exceeded';
    END IF;
    -- Forgets ended replays. Reading the oldest 2 * max_running is enough, because at most max_running of them still run.
    DELETE FROM messaging._replay p WHERE p.id = ANY (ARRAY(
        SELECT g.id FROM messaging._replay g WHERE g.finished_at < now() - limits.kept AND g.id = ANY (ARRAY(
            SELECT f.id FROM messaging._replay f ORDER BY f.id LIMIT 2 * limits.max_running)) FOR UPDATE SKIP LOCKED));
    INSERT INTO messaging._replay (status, endpoint_id, event_type, tenant, since, until, first_id, last_id, walked_to, created_by, created_at)
    VALUES (r.status, r.endpoint_id, r.event_type, r.tenant, r.since, r.until, r.first_id, r.last_id, r.walked_to, _create_replay.created_by, r.created_at)
    RETURNING id INTO r.id;
    SELECT * INTO created FROM messaging.replays p WHERE p.id = r.id;
    RETURN created;
END $$;

CREATE OR REPLACE FUNCTION messaging.replay(
    endpoint text DEFAULT NULL, status text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    event_type text DEFAULT NULL, tenant text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.id FROM messaging._create_replay($1, $2, $3, $4, $5, $6, 'sql ' || session_user) c
$$;
COMMENT ON FUNCTION messaging.replay(text, text, timestamptz, timestamptz, text, text) IS
    'Sends messages again, in the background, a few at a time: those that were dead-lettered (status dead, which is the default), sent, or both, before '
    'this call. since and until compare created_at. Returns the id in messaging.replays.';

CREATE OR REPLACE FUNCTION messaging.cancel_replay(replay_id bigint) RETURNS messaging.replays
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    result messaging.replays;
BEGIN
    UPDATE messaging._replay r SET state = 'cancelled', finished_at = clock_timestamp() WHERE r.id = replay_id AND r.state = 'running';
    SELECT * INTO result FROM messaging.replays r WHERE r.id = replay_id;
    RETURN result;
END $$;
COMMENT ON FUNCTION messaging.cancel_replay(bigint) IS
    'Ends a replay before its next batch, and returns it as it is then. Messages that it has put on their way are sent.';

-- Which messages of the last batches have had no attempt yet, and how many each of their endpoints may get now. A replay that does not name the
-- endpoint does not wait for one that was disabled meanwhile.
CREATE OR REPLACE FUNCTION messaging._replay_waiting(r messaging._replay, OUT ids bigint[], OUT generations integer[], OUT rooms jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan AS $$
    WITH batch AS MATERIALIZED (
        SELECT u.id, u.generation, m.endpoint_id, NOT m.is_sent AND m.attempts = 0 AND d.id IS NULL AND s.state IS DISTINCT FROM 'disabled' AS waits,
               m.is_sent AND m.sent_at <= r.batch_at + l.quick AS was_quick, least(l.few, messaging._replay_at_once(e.max_in_flight, e.rate_limit)) AS few,
               clock_timestamp() > r.batch_at + l.quick AS is_late
        FROM messaging._replay_limits() l
        CROSS JOIN unnest(r.batch_ids, r.batch_generations) AS u(id, generation)
        CROSS JOIN LATERAL (
            SELECT f.endpoint_id, f.is_sent, f.attempts, f.sent_at FROM public.messages f WHERE f.id = u.id AND f.generation = u.generation LIMIT 1) m
        LEFT JOIN LATERAL (SELECT f.id FROM messaging._dead f WHERE f.id = u.id AND NOT m.is_sent LIMIT 1) d ON true
        LEFT JOIN LATERAL (SELECT f.max_in_flight, f.rate_limit FROM messaging.endpoints f WHERE f.id = m.endpoint_id LIMIT 1) e ON true
        LEFT JOIN LATERAL (
            SELECT f.state FROM messaging._endpoint_state f WHERE f.endpoint_id = m.endpoint_id AND r.endpoint_id IS NULL LIMIT 1) s ON true),
    room AS (
        SELECT endpoint_id, CASE WHEN NOT bool_or(waits) THEN greatest(min(few), count(*) FILTER (WHERE was_quick) * 3 / 2 + 1)
                                 WHEN bool_or(is_late) THEN greatest(0, min(few) - count(*) FILTER (WHERE waits))
                                 ELSE 0 END AS free
        FROM batch GROUP BY endpoint_id)
    SELECT coalesce((SELECT array_agg(id ORDER BY id) FROM batch WHERE waits), '{}'),
           coalesce((SELECT array_agg(generation ORDER BY id) FROM batch WHERE waits), '{}'),
           coalesce((SELECT jsonb_object_agg(endpoint_id, free) FROM room), '{}')
$$;

-- Walks on, until `most` messages are chosen, or one that may not be replayed yet, or the limit of the rows is reached.
CREATE OR REPLACE FUNCTION messaging._replay_choose(r messaging._replay, most integer, rooms jsonb, OUT chosen bigint[], OUT walked_to bigint, OUT skipped bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    limits CONSTANT record := messaging._replay_limits();
    seen record;
    free integer;
    rows_read integer := 0;
    read_here integer;
BEGIN
    chosen := '{}';
    walked_to := r.walked_to;
    skipped := 0;
    LOOP
        read_here := 0;
        FOR seen IN SELECT * FROM messaging._replay_look(r, walked_to, limits.rows_per_look) LOOP
            IF seen.fits AND (seen.endpoint_state IS NULL OR (seen.endpoint_state = 'disabled' AND r.endpoint_id IS NULL)) THEN
                skipped := skipped + 1;
            ELSIF seen.fits THEN
                free := coalesce((rooms ->> seen.endpoint_id::text)::integer, least(limits.few, seen.at_once));
                IF free <= 0 OR seen.endpoint_state = 'disabled' OR cardinality(chosen) >= most THEN
                    RETURN;
                END IF;
                chosen := chosen || seen.id;
                rooms := rooms || jsonb_build_object(seen.endpoint_id::text, free - 1);
            END IF;
            walked_to := seen.id;
            read_here := read_here + 1;
        END LOOP;
        rows_read := rows_read + read_here;
        IF read_here < limits.rows_per_look THEN
            walked_to := r.last_id;
            RETURN;
        END IF;
        IF rows_read >= limits.rows_per_round THEN
            RETURN;
        END IF;
    END LOOP;
END $$;

-- Sends messages again, but those that meanwhile are neither sent nor dead-lettered as the filter wants them. Raises an error if one of them is
-- locked, if a trigger of the application refuses one, and also if a deferred trigger does. A trigger can leave a row as it was, or as sent.
CREATE OR REPLACE FUNCTION messaging._replay_send(r messaging._replay, chosen bigint[], OUT ids bigint[], OUT generations integer[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET messaging.session = 'engine' AS $$
BEGIN
    PERFORM FROM public.messages m WHERE m.id = ANY (chosen) ORDER BY m.id FOR NO KEY UPDATE NOWAIT;
    -- The rows are locked, so this stays true until the next statement.
    chosen := ARRAY(
        SELECT u.id FROM unnest(chosen) AS u(id)
        CROSS JOIN LATERAL (SELECT f.is_sent FROM public.messages f WHERE f.id = u.id LIMIT 1) m
        LEFT JOIN LATERAL (SELECT f.id FROM messaging._dead f WHERE f.id = u.id LIMIT 1) d ON true
        WHERE CASE WHEN m.is_sent THEN r.status <> 'dead' ELSE r.status <> 'sent' AND d.id IS NOT NULL END);
    WITH again AS (
        UPDATE public.messages m SET is_sent = false, attempts = 0, abandoned = 0, sent_at = NULL, receiver_message_id = NULL,
            generation = m.generation / 128 * 128 + (m.generation % 128 + 1) % 128
        WHERE m.id = ANY (chosen) RETURNING m.id, m.is_sent, m.generation),
    alive AS (
        DELETE FROM messaging._dead WHERE id = ANY (ARRAY(SELECT a.id FROM again a))),
    due AS (
        INSERT INTO messaging._schedule (id, due_at) SELECT a.id, now() FROM again a WHERE NOT a.is_sent ORDER BY a.id ON CONFLICT DO NOTHING)
    SELECT coalesce(array_agg(a.id), '{}'), coalesce(array_agg(a.generation), '{}') INTO ids, generations FROM again a WHERE NOT a.is_sent;
    SET CONSTRAINTS ALL IMMEDIATE;
    IF cardinality(ids) > 0 THEN
        PERFORM pg_notify('messaging_due', '');
    END IF;
END $$;

-- One batch of a replay. Where PostgreSQL refuses a batch, the next ones are halved down to one message; that message is tried a few times, and
-- then passed over and counted. `moved`: something was done.
CREATE OR REPLACE FUNCTION messaging._replay_step(INOUT r messaging._replay, OUT sent_again bigint, OUT moved boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    failures_of_one_row CONSTANT integer := 10;  -- from 7 on a batch is one message
    limits CONSTANT record := messaging._replay_limits();
    waiting record := messaging._replay_waiting(r);
    most integer := least(limits.max_waiting - cardinality(waiting.ids), greatest(1, limits.max_waiting >> least(r.failures, 7)));
    next record;
    batch record;
BEGIN
    sent_again := 0;
    moved := false;
    next := messaging._replay_choose(r, most, waiting.rooms);
    BEGIN
        IF cardinality(next.chosen) > 0 THEN
            batch := messaging._replay_send(r, next.chosen);
            sent_again := cardinality(batch.ids);
            r.failures := r.failures / 2;
            r.batch_ids := waiting.ids || batch.ids;
            r.batch_generations := waiting.generations || batch.generations;
            r.batch_at := clock_timestamp();
        END IF;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        -- PostgreSQL lacks resources, ends the session, or is read-only: no row's fault.
        IF SQLSTATE LIKE '53%' OR SQLSTATE LIKE '57P%' OR SQLSTATE = '25006' THEN
            RAISE;
        END IF;
        sent_again := 0;
        r.last_error := left('message ' || next.chosen[1] || CASE WHEN cardinality(next.chosen) > 1 THEN ' or one of the ' || cardinality(next.chosen) - 1
            || ' after it' ELSE '' END || ': ' || SQLERRM, 500);
        IF cardinality(next.chosen) > 1 OR r.failures < failures_of_one_row THEN
            r.failures := r.failures + 1;
            RETURN;
        END IF;
        r.refused := r.refused + 1;
    END;
    moved := next.walked_to > r.walked_to;
    r.walked_to := next.walked_to;
    r.skipped := r.skipped + next.skipped;
    r.replayed := r.replayed + sent_again;
    IF r.walked_to >= r.last_id AND cardinality(waiting.ids) = 0 AND cardinality(next.chosen) = 0 THEN
        r.state := 'done';
        r.finished_at := clock_timestamp();
        moved := true;
    END IF;
END $$;

-- The running replay whose turn is next, of those whose row nobody has locked: whoever cancels a replay in an open transaction stops that replay
-- only. The lock is released at once, because a cancel must not wait until a round has ended.
CREATE OR REPLACE FUNCTION messaging._next_replay(last_replay bigint) RETURNS messaging._replay
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r messaging._replay;
BEGIN
    BEGIN
        SELECT * INTO r FROM messaging._replay p WHERE p.state = 'running' ORDER BY p.id <= last_replay, p.id LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED;
        RAISE EXCEPTION USING ERRCODE = 'RP001';
    EXCEPTION WHEN SQLSTATE 'RP001' THEN
        RETURN r;
    END;
END $$;

-- One batch of the next replay in turn. Between two rounds is a pause of nine times the round's duration, so all replays of all processes together
-- take a tenth of a core at most. The commit need not wait for the disk: what a crash undoes, it undoes as a whole.
-- `wait_ms`: the time until the next round may have something to do.
CREATE OR REPLACE FUNCTION messaging._replay_round(OUT replayed bigint, OUT running bigint, OUT wait_ms bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    pause_factor CONSTANT integer := 9;
    shortest_pause CONSTANT interval := '20 milliseconds';
    idle_pause CONSTANT interval := '100 milliseconds';  -- nothing could be done: messages of the last batch wait
    failed_pause CONSTANT interval := '250 milliseconds';
    began timestamptz := clock_timestamp();
    ended timestamptz;
    pace messaging._replay_pace;
    r messaging._replay;
    step record;
BEGIN
    replayed := 0;
    wait_ms := 1000;
    SELECT count(*) INTO running FROM messaging._replay WHERE state = 'running';
    IF running = 0 THEN
        RETURN;
    END IF;
    SELECT * INTO pace FROM messaging._replay_pace WHERE only_row FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- Another process has the row locked, or the row was deleted. Without EXISTS the INSERT would wait for that process.
        IF NOT EXISTS (SELECT FROM messaging._replay_pace) THEN
            INSERT INTO messaging._replay_pace DEFAULT VALUES ON CONFLICT DO NOTHING;
        END IF;
        wait_ms := 100;
        RETURN;
    END IF;
    pace.next_round := least(pace.next_round, began + interval '10 minutes');  -- a clock that was ahead for a while
    IF began < pace.next_round THEN
        wait_ms := ceil(extract(epoch FROM pace.next_round - began) * 1000);
        RETURN;
    END IF;
    r := messaging._next_replay(pace.last_replay);
    IF r.id IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO step FROM messaging._replay_step(r);
    replayed := step.sent_again;
    IF step.moved OR step.r IS DISTINCT FROM r THEN
        -- Last, because a cancel waits for this row. What was cancelled meanwhile stays cancelled.
        UPDATE messaging._replay p SET walked_to = (step.r).walked_to, batch_ids = (step.r).batch_ids, batch_generations = (step.r).batch_generations,
            batch_at = (step.r).batch_at, replayed = (step.r).replayed, skipped = (step.r).skipped, refused = (step.r).refused,
            failures = (step.r).failures, last_error = (step.r).last_error,
            state = CASE p.state WHEN 'running' THEN (step.r).state ELSE p.state END,
            finished_at = CASE p.state WHEN 'running' THEN (step.r).finished_at ELSE p.finished_at END
        WHERE p.id = r.id;
    END IF;
    ended := clock_timestamp();
    pace.next_round := ended + greatest((ended - began) * pause_factor,
        CASE WHEN (step.r).failures > r.failures THEN failed_pause WHEN step.moved OR running > 1 THEN shortest_pause ELSE idle_pause END);
    UPDATE messaging._replay_pace SET next_round = pace.next_round, last_replay = r.id WHERE only_row;
    wait_ms := ceil(extract(epoch FROM pace.next_round - ended) * 1000);
END $$;
