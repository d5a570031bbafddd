-- Tells the engines at once of a start, a stop, a changed endpoint and a changed secret, keeps one row of _endpoint_state for each
-- endpoint, and removes an endpoint's secrets with it.

-- Makes a trigger, or replaces it. PostgreSQL 13 has no CREATE OR REPLACE TRIGGER; from 14 on that command does not wait for readers
-- of the table, as DROP TRIGGER does.
CREATE OR REPLACE FUNCTION messaging._make_trigger(name text, event text, target regclass, action text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    can_replace boolean := current_setting('server_version_num')::integer >= 140000;
BEGIN
    IF NOT can_replace THEN
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', name, target);
    END IF;
    EXECUTE format('CREATE %s TRIGGER %I %s ON %s %s', CASE WHEN can_replace THEN 'OR REPLACE' END, name, event, target, action);
END $$;

CREATE OR REPLACE FUNCTION messaging._on_control_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('messaging_control', '');
    RETURN NULL;
END $$;

-- A claim that comes after a change answers another version than the engine has read, and the messages wait until it has read the endpoint
-- again. An engine that polls may claim before it is notified. SKIP LOCKED: whoever changes the state of the endpoint in an open transaction must
-- not delay a change of the endpoint. The notification alone tells of that change.
CREATE OR REPLACE FUNCTION messaging._raise_version(endpoint bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE messaging._endpoint_state SET version = version + 1 WHERE endpoint_id IN (
        SELECT endpoint_id FROM messaging._endpoint_state WHERE endpoint_id = endpoint FOR NO KEY UPDATE SKIP LOCKED)
$$;

CREATE OR REPLACE FUNCTION messaging._on_secret_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM messaging._raise_version(CASE WHEN TG_OP = 'DELETE' THEN OLD.endpoint_id ELSE NEW.endpoint_id END);
    PERFORM pg_notify('messaging_control', '');
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION messaging._on_endpoint_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM messaging._endpoint_state;
        DELETE FROM messaging._endpoint_secret;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO messaging._endpoint_state (endpoint_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM messaging._raise_version(NEW.id);
    ELSE
        DELETE FROM messaging._endpoint_state WHERE endpoint_id = OLD.id;
        DELETE FROM messaging._endpoint_secret WHERE endpoint_id = OLD.id;
    END IF;
    RETURN NULL;
END $$;

-- A message names its endpoint by the id, and so do the places it may wait in.
CREATE OR REPLACE FUNCTION messaging._keep_endpoint_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an endpoint keeps its id' USING HINT = 'Insert a new endpoint instead.', ERRCODE = 'integrity_constraint_violation';
END $$;

-- An endpoint for which messages are held cannot be active at once: it is backlogged, and engines give it what it can take, in order, until
-- nothing is held any more. So a million of them delay no other endpoint's messages.
CREATE OR REPLACE FUNCTION messaging._on_endpoint_state_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.state = 'active' AND EXISTS (SELECT FROM messaging._hold WHERE endpoint_id = NEW.endpoint_id) THEN
        NEW.state := 'backlogged';
        NEW.reason := 'what was kept for it is sent first';
    END IF;
    IF NEW.state = 'active' THEN
        NEW.reason := NULL;
    END IF;
    IF NEW.state <> OLD.state THEN
        NEW.since := clock_timestamp();  -- claims look into the hold for 10 s after it (claim_statements.cc)
    END IF;
    RETURN NEW;
END $$;

SELECT messaging._make_trigger('state_changed', 'AFTER UPDATE', 'messaging._state',
    'FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_control_change()');
SELECT messaging._make_trigger('endpoints_changed', 'AFTER INSERT OR UPDATE OR DELETE', 'messaging.endpoints',
    'FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_control_change()');
-- A trigger for each row, because a statement that changes no row would make all engines read their endpoints. The column `secret` is not
-- in the list: it changes only when the secret is sealed, and it is the same secret then.
SELECT messaging._make_trigger('endpoint_secret_changed', 'AFTER INSERT OR DELETE OR UPDATE OF expires_at',
    'messaging._endpoint_secret', 'FOR EACH ROW EXECUTE FUNCTION messaging._on_secret_change()');
SELECT messaging._make_trigger('endpoints_state', 'AFTER INSERT OR UPDATE OR DELETE', 'messaging.endpoints',
    'FOR EACH ROW EXECUTE FUNCTION messaging._on_endpoint_change()');
SELECT messaging._make_trigger('endpoints_keep_id', 'BEFORE UPDATE', 'messaging.endpoints',
    'FOR EACH ROW WHEN (NEW.id <> OLD.id) EXECUTE FUNCTION messaging._keep_endpoint_id()');
SELECT messaging._make_trigger('endpoints_truncated', 'AFTER TRUNCATE', 'messaging.endpoints',
    'FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_endpoint_change()');
-- Also for rows that replication or a restore inserts: an endpoint without a row in _endpoint_state counts as missing, and its messages
-- are dead-lettered.
ALTER TABLE messaging.endpoints ENABLE ALWAYS TRIGGER endpoints_state, ENABLE ALWAYS TRIGGER endpoints_truncated;
SELECT messaging._make_trigger('endpoint_state_changed', 'BEFORE UPDATE OF state', 'messaging._endpoint_state',
    'FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION messaging._on_endpoint_state_change()');

-- Endpoint 1, which follows WEBHOOK_URL. The address is a placeholder that no request can reach. Its requests are not signed before
-- somebody sets `signing`. It is inserted once only, because an operator may delete it.
INSERT INTO messaging.endpoints (name, url, signing)
SELECT 'default', 'http://webhook-url-not-set.invalid/', 'none' FROM messaging.endpoints_id_seq WHERE NOT is_called;
