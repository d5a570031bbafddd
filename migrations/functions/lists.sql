-- Functions for the lists of the HTTP API.

-- The largest id whose message was created before `moment`. It is found by a binary search in the primary key, with some 60 look-ups at most.
-- The search assumes that ids rise with created_at. A message whose transaction was long, or whose created_at was set by the INSERT, can be
-- on the wrong side.
CREATE OR REPLACE FUNCTION messaging._last_id_before(moment timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    low bigint := 0;
    high bigint := coalesce((SELECT id FROM public.messages ORDER BY id DESC LIMIT 1), 0);
    middle bigint;
    found_id bigint;
    found_at timestamptz;
BEGIN
    WHILE low < high LOOP
        middle := low + (high - low) / 2 + (high - low) % 2;
        SELECT m.id, m.created_at INTO found_id, found_at
        FROM public.messages m WHERE m.id > low AND m.id <= middle ORDER BY m.id DESC LIMIT 1;
        IF NOT FOUND OR found_at < moment THEN
            low := middle;
        ELSE
            high := found_id - 1;
        END IF;
    END LOOP;
    RETURN low;
END $$;

-- The same for events: the two differ in the table only, and its name in a text would have each look-up planned anew.
CREATE OR REPLACE FUNCTION messaging._last_event_before(moment timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    low bigint := 0;
    high bigint := coalesce((SELECT id FROM messaging.events ORDER BY id DESC LIMIT 1), 0);
    middle bigint;
    found_id bigint;
    found_at timestamptz;
BEGIN
    WHILE low < high LOOP
        middle := low + (high - low) / 2 + (high - low) % 2;
        SELECT e.id, e.created_at INTO found_id, found_at
        FROM messaging.events e WHERE e.id > low AND e.id <= middle ORDER BY e.id DESC LIMIT 1;
        IF NOT FOUND OR found_at < moment THEN
            low := middle;
        ELSE
            high := found_id - 1;
        END IF;
    END LOOP;
    RETURN low;
END $$;
