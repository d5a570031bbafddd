-- Stored responses to requests with an Idempotency-Key.

-- Makes the body of a response: the parts that the service has written, and between each two parts a value that only the database has
-- (an id, a time). So the transaction that creates the rows can store its response without another round trip. If there are fewer or more
-- values than gaps, other messages were created than were accepted. The error rolls the transaction back.
CREATE OR REPLACE FUNCTION messaging._fill_body(parts text[], gap_values text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF cardinality(gap_values) <> cardinality(parts) - 1 THEN
        RAISE EXCEPTION 'the database has made fewer or more messages than were accepted: does a trigger of the application''s drop some?';
    END IF;
    RETURN (SELECT string_agg(u.part || coalesce(u.gap_value, ''), '' ORDER BY u.place)
            FROM unnest(parts, gap_values) WITH ORDINALITY AS u(part, gap_value, place));
END $$;
