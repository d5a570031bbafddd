-- Tells the engines at once of a start, a stop and a changed endpoint, and keeps one row of _endpoint_state for each endpoint.

CREATE OR REPLACE FUNCTION messaging._on_control_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('messaging_control', '');
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION messaging._on_endpoint_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO messaging._endpoint_state (endpoint_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM messaging._endpoint_state WHERE endpoint_id = OLD.id;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER state_changed AFTER UPDATE ON messaging._state
    FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_control_change();
CREATE OR REPLACE TRIGGER endpoints_changed AFTER INSERT OR UPDATE OR DELETE ON messaging.endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION messaging._on_control_change();
CREATE OR REPLACE TRIGGER endpoints_state AFTER INSERT OR DELETE ON messaging.endpoints
    FOR EACH ROW EXECUTE FUNCTION messaging._on_endpoint_change();

-- Endpoint 1, which follows WEBHOOK_URL. The address is a placeholder that no request can reach. Once: an operator may delete it.
INSERT INTO messaging.endpoints (name, url)
SELECT 'default', 'http://webhook-url-not-set.invalid/' FROM messaging.endpoints_id_seq WHERE NOT is_called;
