-- Responses that are kept with an Idempotency-Key.

-- The body of a response: the parts that the service has written, and between each two of them a value that only the database knows
-- (an id, a time). So the transaction that creates the rows can store the response to them, without a round trip in between. Fewer or more
-- values than gaps mean that not exactly the accepted messages were created. The error rolls all of it back.
CREATE OR REPLACE FUNCTION messaging._fill_body(parts text[], gap_values text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF cardinality(gap_values) <> cardinality(parts) - 1 THEN
        RAISE EXCEPTION 'the database has made fewer or more messages than were accepted: does a trigger of the application''s drop some?';
    END IF;
    RETURN (SELECT string_agg(u.part || coalesce(u.gap_value, ''), '' ORDER BY u.place)
            FROM unnest(parts, gap_values) WITH ORDINALITY AS u(part, gap_value, place));
END $$;
