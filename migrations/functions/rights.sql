-- Rights. Roles belong to the whole cluster, so the product creates none: it grants rights to existing roles.
--   writer    an application: inserts messages and events                       SELECT messaging.grant_to('shop', 'writer');
--   reader    people and tools that only read: the messages, the tables without the secrets, and messaging.misplaced()
--   operator  people who repair: what a reader has, the endpoints, and the functions that send again, cancel, pause, start and stop
--   service   the role of `messaging serve`, if it is not the owner: reads and writes the messages and the tables
-- After an upgrade, call messaging.grant_to() again for the tables and functions of the new version.

CREATE OR REPLACE FUNCTION messaging.grant_to(role name, what text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    readable regclass;
BEGIN
    IF role = 'public' THEN
        RAISE EXCEPTION 'these rights are not for everybody' USING HINT = 'Name a role.';
    END IF;
    CASE what
        WHEN 'writer' THEN
            -- SELECT (id): for INSERT … RETURNING id, which most libraries send.
            EXECUTE format('GRANT INSERT (recipient, content, endpoint_id), SELECT (id) ON public.messages TO %I', role);
            EXECUTE format('GRANT USAGE ON SCHEMA messaging TO %I', role);
            EXECUTE format('GRANT INSERT (type, data, tenant), SELECT (id) ON messaging.events TO %I', role);
        WHEN 'reader' THEN
            EXECUTE format('GRANT USAGE ON SCHEMA messaging TO %I', role);
            EXECUTE format('GRANT SELECT ON public.messages TO %I', role);
            FOR readable IN SELECT oid FROM pg_class WHERE relnamespace = 'messaging'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
                                                       AND relname <> '_endpoint_secret' LOOP
                EXECUTE format('GRANT SELECT ON %s TO %I', readable, role);
            END LOOP;
            EXECUTE format('GRANT EXECUTE ON FUNCTION messaging.count_replay(text, text, timestamptz, timestamptz, text, text), messaging.misplaced(), messaging.message_id(text), messaging.timeline(bigint), messaging.webhook_id(bigint), '
                'messaging._percentile(bigint[], double precision), messaging._duration_bounds(), messaging._event_patterns(text), '
                'messaging._is_open(public.messages, integer, integer), messaging._status(boolean, boolean, boolean, boolean, boolean) TO %I', role);
        WHEN 'operator' THEN
            PERFORM messaging.grant_to(role, 'reader');
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON messaging.endpoints TO %I', role);
            EXECUTE format('GRANT EXECUTE ON FUNCTION messaging.send(text, text, text), messaging.publish(text, json, text), messaging.retry(bigint[]), messaging.cancel(bigint[], text), '
                'messaging.replay(text, text, timestamptz, timestamptz, text, text), messaging.cancel_replay(bigint), '
                'messaging.disable(text, text), messaging.enable(text), messaging.start(), messaging.stop() TO %I', role);
        WHEN 'service' THEN
            EXECUTE format('GRANT USAGE ON SCHEMA messaging TO %I', role);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.messages TO %I', role);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA messaging TO %I', role);
            EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA messaging TO %I', role);
            EXECUTE format('GRANT SELECT ON SEQUENCE public.messages_id_seq TO %I', role);
            EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA messaging TO %I', role);
        ELSE
            RAISE EXCEPTION 'unknown right "%"', what USING HINT = 'Use writer, reader, operator or service.';
    END CASE;
END $$;
COMMENT ON FUNCTION messaging.grant_to(name, text) IS
    'Grants what a role needs: writer (an application that inserts messages and events), reader, operator, or service (messaging serve).';

REVOKE ALL ON SCHEMA messaging FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA messaging FROM PUBLIC;
