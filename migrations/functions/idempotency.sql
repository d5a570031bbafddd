-- Stored responses to requests with an Idempotency-Key, and the check of what a request has created.

-- Raises an error where other rows were created than were accepted. The error rolls the transaction back, so a request that is answered with
-- an error has created nothing.
CREATE OR REPLACE FUNCTION messaging._check_made(made bigint, accepted bigint) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF made <> accepted THEN
        RAISE EXCEPTION 'the database has made fewer or more rows than were accepted: does a trigger of the application''s drop some?';
    END IF;
    RETURN true;
END $$;

-- Makes the body of a response: the parts that the service has written, and between each two parts a value that only the database has
-- (an id, a time). So the transaction that creates the rows can store its response without another round trip.
CREATE OR REPLACE FUNCTION messaging._fill_body(parts text[], gap_values text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM messaging._check_made(cardinality(gap_values), cardinality(parts) - 1);
    RETURN (SELECT string_agg(u.part || coalesce(u.gap_value, ''), '' ORDER BY u.place)
            FROM unnest(parts, gap_values) WITH ORDINALITY AS u(part, gap_value, place));
END $$;
