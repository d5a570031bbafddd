-- Endpoints: the checks of a row, the view of their health, and the functions that disable and enable them.

-- Refuses a row with a sentence that begins with the column. The rules of names and values of headers are those of RFC 9110, 5.1 and 5.5.
-- The reserved headers are those of src/http/reserved_headers.cc: what the service writes itself, and what frames a request.
CREATE OR REPLACE FUNCTION messaging._check_endpoint() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reserved CONSTANT text :=
        '^(webhook-.*|host|content-.*|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|user-agent|proxy-.*)$';
    problem text;
    header record;
    names text[] := '{}';
BEGIN
    problem := CASE
        WHEN NEW.name !~ '^[A-Za-z0-9._-]([A-Za-z0-9 ._-]{0,98}[A-Za-z0-9._-])?$' OR NEW.name ~ '^([0-9]+|[.][.]?)$' THEN
            'name must be 1 to 100 letters, digits, blanks, dots, underscores or hyphens; not digits alone, not . or .., and no blank at its ends'
        WHEN octet_length(NEW.url) > 8192 THEN 'url must not be longer than 8192 bytes'
        WHEN NEW.url !~* '^https?://' THEN 'url must begin with http:// or https://'
        WHEN NEW.url ~ '[^!-~]' THEN 'url must consist of visible ASCII characters: write others as %XX'
        WHEN NEW.url ~ '^[^/]*//[^/?#]*@' THEN 'url must not contain a user name or password: send a header instead'
        WHEN NEW.url !~ E'^[^/]*//(\\[[0-9A-Fa-f:.]+\\]|[^]:/?#\\\\[]+)(:[0-9]{1,5})?([/?#]|$)'
             OR substring(NEW.url FROM '^[^/]*//[^/?#]*:([0-9]{1,5})([/?#]|$)')::integer NOT BETWEEN 1 AND 65535 THEN
            'url must name a host, and no port but 1 to 65535'
        WHEN octet_length(NEW.description) > 1024 THEN 'description must not be longer than 1024 bytes'
        WHEN octet_length(NEW.tenant) NOT BETWEEN 1 AND 255 THEN 'tenant must be 1 to 255 bytes, or null'
        WHEN NEW.signing NOT IN ('v1', 'v1a', 'none') THEN 'signing must be v1, v1a or none'
        WHEN NEW.max_in_flight NOT BETWEEN 1 AND 10000 THEN 'max_in_flight must be 1 to 10000'
        WHEN NEW.timeout_seconds NOT BETWEEN 1 AND 300 THEN 'timeout_seconds must be 1 to 300, or null'
        WHEN NEW.max_attempts NOT BETWEEN 1 AND 1000 THEN 'max_attempts must be 1 to 1000, or null'
        WHEN NEW.rate_limit NOT BETWEEN 1 AND 10000 THEN 'rate_limit must be 1 to 10000, or null'
        WHEN cardinality(NEW.event_types) > 100 THEN 'event_types must not be more than 100'
        WHEN EXISTS (SELECT FROM unnest(NEW.event_types) t WHERE t IS NULL OR octet_length(t) > 128
                     OR t !~ '^([*]|[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*([.][*])?)$') THEN
            'event_types must be names of at most 128 letters, digits, _, - and dots, such as invoice.paid, invoice.* or *'
        WHEN octet_length(NEW.headers) > 65536 THEN 'headers must not be longer than 65536 bytes'
    END;
    IF problem IS NULL AND NEW.headers IS NOT NULL THEN
        BEGIN
            FOR header IN SELECT h.key AS name, json_typeof(h.value) AS type, h.value #>> '{}' AS text FROM json_each(NEW.headers::json) h LOOP
                problem := CASE
                    WHEN header.name !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,255}$' THEN
                        'headers must have names of 1 to 255 letters, digits and !#$%&''*+-.^_`|~'
                    WHEN lower(header.name) = ANY (names) THEN 'headers must not name ' || header.name || ' twice'
                    WHEN lower(header.name) ~ reserved THEN
                        'headers must not contain ' || header.name || ': the service writes it, or HTTP does not allow it'
                    WHEN header.type <> 'string' THEN 'headers must have strings as values: ' || header.name || ' has none'
                    WHEN header.text ~ E'[\\x01-\\x08\\x0A-\\x1F\\x7F]' THEN
                        'headers must not have line breaks or other control characters: ' || header.name || ' has one'
                    WHEN cardinality(names) = 50 THEN 'headers must not be more than 50'
                END;
                EXIT WHEN problem IS NOT NULL;
                names := names || lower(header.name);
            END LOOP;
        EXCEPTION WHEN data_exception THEN  -- no JSON, no object, or NUL in it
            problem := 'headers must be a JSON object of names and values';
        END;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'check_violation', COLUMN = split_part(problem, ' ', 1);
    END IF;
    NEW.updated_at := now();
    RETURN NEW;
END $$;
SELECT messaging._make_trigger('endpoints_check', 'BEFORE INSERT OR UPDATE', 'messaging.endpoints',
    'FOR EACH ROW EXECUTE FUNCTION messaging._check_endpoint()');

-- The id of the endpoint with that name or id; an error where there is none. No name consists of digits.
CREATE OR REPLACE FUNCTION messaging._endpoint_id(endpoint text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_id bigint := (SELECT e.id FROM messaging.endpoints e WHERE e.name = endpoint);
BEGIN
    IF found_id IS NULL AND endpoint ~ '^[0-9]{1,18}$' THEN
        SELECT e.id INTO found_id FROM messaging.endpoints e WHERE e.id = endpoint::bigint;
    END IF;
    IF found_id IS NULL THEN
        RAISE EXCEPTION 'there is no endpoint "%"', endpoint
            USING ERRCODE = 'no_data_found', HINT = 'SELECT id, name FROM messaging.endpoints';
    END IF;
    RETURN found_id;
END $$;

-- The upper ends of the ranges in which durations are counted, in milliseconds; the last range has none. As in engine/endpoint_figures.h.
CREATE OR REPLACE FUNCTION messaging._duration_bounds() RETURNS integer[]
LANGUAGE sql IMMUTABLE AS $$ SELECT '{1,2,5,10,20,50,100,200,500,1000,2000,5000,10000,30000,60000}'::integer[] $$;

-- The duration in milliseconds that the given share of the counted attempts did not exceed. It assumes that the attempts of one range are
-- spread evenly over the range. `counts` is as messaging._endpoint_minute.durations; NULL gives NULL.
CREATE OR REPLACE FUNCTION messaging._percentile(counts bigint[], share double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bounds integer[] := messaging._duration_bounds();
    wanted double precision := share * (SELECT sum(c) FROM unnest(counts) c);
    below double precision := 0;
    low double precision := 0;
BEGIN
    FOR i IN 1 .. cardinality(counts) LOOP
        IF counts[i] > 0 AND below + counts[i] >= wanted THEN
            RETURN low + (coalesce(bounds[i], low) - low) * (wanted - below) / counts[i];
        END IF;
        below := below + counts[i];
        low := coalesce(bounds[i], low);
    END LOOP;
    RETURN NULL;
END $$;

-- The figures of the last 15 minutes.
CREATE OR REPLACE VIEW messaging.endpoint_health AS
WITH sending AS MATERIALIZED (
    SELECT m.endpoint_id, count(*) AS count
    FROM messaging._claimed c
    -- LATERAL … LIMIT: a look-up for each, and no scan of messages.
    CROSS JOIN LATERAL (SELECT f.endpoint_id FROM public.messages f
                        WHERE f.id = c.id AND messaging._is_open(f, c.attempts, c.generation) LIMIT 1) m
    GROUP BY m.endpoint_id)
SELECT e.id, e.name, e.url, e.tenant, s.state, s.reason AS state_reason, s.since AS state_since,
       (SELECT count(*) FROM (SELECT FROM messaging._hold h WHERE h.endpoint_id = e.id ORDER BY h.id + 0 LIMIT 5001) h) AS held,
       (SELECT m.created_at FROM public.messages m WHERE m.id = (
           SELECT h.id FROM messaging._hold h WHERE h.endpoint_id = e.id ORDER BY h.id + 0 LIMIT 1)) AS oldest_held_at,
       coalesce(f.count, 0) AS sending,
       coalesce(r.sent, 0) AS sent, coalesce(r.failed, 0) AS failed,
       CASE WHEN r.sent + r.failed > 0 THEN r.sent::double precision / (r.sent + r.failed) END AS success_ratio,
       messaging._percentile(r.durations, 0.5) AS p50_ms, messaging._percentile(r.durations, 0.95) AS p95_ms,
       CASE WHEN r.failed > 0 THEN r.last_error END AS last_error
FROM messaging.endpoints e
LEFT JOIN messaging._endpoint_state s ON s.endpoint_id = e.id
LEFT JOIN sending f ON f.endpoint_id = e.id
LEFT JOIN LATERAL (
    SELECT sum(m.sent) AS sent, sum(m.failed) AS failed,
           (SELECT array_agg(d.count ORDER BY d.place) FROM (
               SELECT u.place, sum(u.count) AS count FROM messaging._endpoint_minute n
               CROSS JOIN LATERAL unnest(n.durations) WITH ORDINALITY AS u(count, place)
               WHERE n.endpoint_id = e.id AND n.minute > now() - interval '15 minutes' GROUP BY u.place) d) AS durations,
           (array_agg(m.last_error ORDER BY m.minute DESC) FILTER (WHERE m.last_error IS NOT NULL))[1] AS last_error
    FROM messaging._endpoint_minute m WHERE m.endpoint_id = e.id AND m.minute > now() - interval '15 minutes') r ON true;
COMMENT ON VIEW messaging.endpoint_health IS
    'How each endpoint is: its state, what is held and being sent, and the attempts of the last 15 minutes (a few seconds late).';
COMMENT ON COLUMN messaging.endpoint_health.held IS 'Messages that wait in the hold, counted up to 5001.';
COMMENT ON COLUMN messaging.endpoint_health.sending IS 'Messages that engines have claimed and not yet sent.';

CREATE OR REPLACE VIEW messaging.throughput AS
SELECT m.minute, m.endpoint_id, e.name AS endpoint, m.sent, m.failed,
       messaging._percentile(m.durations::bigint[], 0.5) AS p50_ms, messaging._percentile(m.durations::bigint[], 0.95) AS p95_ms, m.last_error
FROM messaging._endpoint_minute m
LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id;
COMMENT ON VIEW messaging.throughput IS
    'The attempts of each minute to each endpoint, for a day: how many were accepted and how many failed, and how long they took (a few seconds late). '
    'A minute without attempts has no row.';

CREATE OR REPLACE FUNCTION messaging.disable(endpoint text, reason text DEFAULT NULL) RETURNS messaging.endpoint_health
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET messaging.session = '' AS $$
DECLARE
    found_id bigint := messaging._endpoint_id(endpoint);
    result messaging.endpoint_health;
BEGIN
    UPDATE messaging._endpoint_state s SET state = 'disabled', reason = left(disable.reason, 500)
    WHERE s.endpoint_id = found_id AND (s.state <> 'disabled' OR s.reason IS DISTINCT FROM left(disable.reason, 500));
    PERFORM pg_notify('messaging_control', '');
    SELECT * INTO result FROM messaging.endpoint_health h WHERE h.id = found_id;
    RETURN result;
END $$;
COMMENT ON FUNCTION messaging.disable(text, text) IS
    'Stops sending to an endpoint, named or by its id. Its messages are kept, and after messaging.enable() they are claimed first.';

CREATE OR REPLACE FUNCTION messaging.enable(endpoint text) RETURNS messaging.endpoint_health
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET messaging.session = '' AS $$
DECLARE
    found_id bigint := messaging._endpoint_id(endpoint);
    result messaging.endpoint_health;
BEGIN
    UPDATE messaging._endpoint_state s SET state = 'active' WHERE s.endpoint_id = found_id AND s.state IN ('disabled', 'failing');
    PERFORM pg_notify('messaging_control', '');
    SELECT * INTO result FROM messaging.endpoint_health h WHERE h.id = found_id;
    RETURN result;
END $$;
COMMENT ON FUNCTION messaging.enable(text) IS
    'Sends to an endpoint again. The messages that were kept are claimed first; the state is backlogged until they are sent.';
