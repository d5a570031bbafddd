-- Events: one message for each endpoint that subscribes, in the transaction that inserts the event.

-- What an endpoint may subscribe to, to get events of this type: {invoice.paid} gives {invoice.paid,invoice.*,*}. Types that begin with
-- messaging. are the service's own: * does not stand for them.
CREATE OR REPLACE FUNCTION messaging._event_patterns(type text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    names text[] := string_to_array(type, '.');
    patterns text[] := ARRAY[type];
BEGIN
    FOR depth IN REVERSE cardinality(names) - 1 .. 1 LOOP
        patterns := patterns || (array_to_string(names[1:depth], '.') || '.*');
    END LOOP;
    RETURN CASE WHEN names[1] = 'messaging' THEN patterns ELSE patterns || '*'::text END;
END $$;

-- One statement makes all messages of all events. Who gets an event is decided by the transaction that inserts it.
-- Endpoints rely on what the service's own events say. So these are told by a column that a writer has no right to set, and not by a setting,
-- which everybody can make in his session.
CREATE OR REPLACE FUNCTION messaging._on_event_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'messaging.events'::regclass THEN
        RAISE EXCEPTION 'messaging._on_event_insert() serves messaging.events only';
    END IF;
    IF EXISTS (SELECT FROM new_rows WHERE by_service <> (type ~ '^messaging([.]|$)')) THEN
        RAISE EXCEPTION 'types that begin with messaging are the service''s own: choose another name' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO public.messages (event_id, endpoint_id)
    SELECT n.id, e.id FROM new_rows n
    JOIN messaging.endpoints e ON e.event_types && messaging._event_patterns(n.type) AND e.tenant IS NOT DISTINCT FROM n.tenant
    ORDER BY n.id, e.id;
    RETURN NULL;
END $$;
SELECT messaging._make_trigger('messaging_event', 'AFTER INSERT', 'messaging.events',
    'REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_event_insert()');

-- Publishes an event of the service's own, if an endpoint subscribes to its type. It has no tenant, so that no customer sees another
-- one's failures. It is part of an engine's statement, which must not fail for it: a trigger of the application may raise.
-- The settings make the planner use the index of event_types: with the values known it reads all endpoints, for each event. That index can be
-- read by a bitmap only, and claim sessions make none otherwise.
CREATE OR REPLACE FUNCTION messaging._publish_own(own_type text, own_data json) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = on AS $$
BEGIN
    IF EXISTS (SELECT FROM messaging.endpoints e WHERE e.event_types && messaging._event_patterns(own_type) AND e.tenant IS NULL) THEN
        INSERT INTO messaging.events (type, data, by_service) VALUES (own_type, own_data, true);
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'the event % could not be published: %', own_type, SQLERRM;
END $$;

-- Publishes an event when an engine has changed the state of an endpoint. Changes by an operator publish none.
CREATE OR REPLACE FUNCTION messaging._on_endpoint_found() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    word text := CASE WHEN NEW.state IN ('failing', 'disabled') THEN NEW.state WHEN OLD.state = 'failing' THEN 'recovered' END;
BEGIN
    IF word IS NOT NULL THEN
        PERFORM messaging._publish_own('messaging.endpoint.' || word, (
            SELECT json_build_object('endpoint_id', e.id::text, 'endpoint', e.name, 'tenant', e.tenant,
                                     'reason', CASE WHEN word = 'recovered' THEN OLD.reason ELSE NEW.reason END)
            FROM messaging.endpoints e WHERE e.id = NEW.endpoint_id));
    END IF;
    RETURN NULL;
END $$;
SELECT messaging._make_trigger('endpoint_found', 'AFTER UPDATE OF state', 'messaging._endpoint_state',
    $$FOR EACH ROW WHEN (OLD.state <> NEW.state AND current_setting('messaging.session', true) = 'engine')
    EXECUTE FUNCTION messaging._on_endpoint_found()$$);

-- Publishes an event when an engine has dead-lettered a message, unless the message itself delivers an event of the service: that could go on for
-- ever.
CREATE OR REPLACE FUNCTION messaging._on_dead() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own_data json := (
        SELECT json_build_object('message_id', m.id::text, 'webhook_id', messaging.webhook_id(m.id), 'endpoint_id', m.endpoint_id::text,
                                 'endpoint', e.name, 'tenant', e.tenant, 'event_id', m.event_id::text, 'event_type', v.type, 'reason', NEW.reason)
        FROM public.messages m LEFT JOIN messaging.endpoints e ON e.id = m.endpoint_id LEFT JOIN messaging.events v ON v.id = m.event_id
        WHERE m.id = NEW.id AND coalesce(v.type !~ '^messaging([.]|$)', true));
BEGIN
    IF own_data IS NOT NULL THEN
        PERFORM messaging._publish_own('messaging.message.dead', own_data);
    END IF;
    RETURN NULL;
END $$;
SELECT messaging._make_trigger('message_dead', 'AFTER INSERT', 'messaging._dead',
    $$FOR EACH ROW WHEN (current_setting('messaging.session', true) = 'engine') EXECUTE FUNCTION messaging._on_dead()$$);

-- Inserts the events of three arrays, and says how many messages each has become.
CREATE OR REPLACE FUNCTION messaging._publish(types text[], all_data text[], tenants text[])
RETURNS TABLE (place bigint, id bigint, created_at timestamptz, messages bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ids bigint[];
BEGIN
    WITH made AS (
        INSERT INTO messaging.events (type, data, tenant)
        SELECT u.type, u.data::json, u.tenant FROM unnest(types, all_data, tenants) WITH ORDINALITY AS u(type, data, tenant, place)
        ORDER BY u.place RETURNING events.id)
    SELECT coalesce(array_agg(m.id ORDER BY m.id), '{}') INTO ids FROM made m;
    PERFORM messaging._check_made(cardinality(ids), cardinality(types));
    RETURN QUERY
        SELECT u.place, e.id, e.created_at, (SELECT count(*) FROM public.messages m WHERE m.event_id = e.id)
        FROM unnest(ids) WITH ORDINALITY AS u(id, place) JOIN messaging.events e ON e.id = u.id ORDER BY u.place;
END $$;

CREATE OR REPLACE FUNCTION messaging.publish(type text, data json, tenant text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO messaging.events (type, data, tenant) VALUES ($1, $2, $3) RETURNING id
$$;
COMMENT ON FUNCTION messaging.publish(text, json, text) IS
    'Inserts an event, which is sent to each endpoint that subscribes to its type and has the same tenant. Returns the event''s id.';
