-- Removes the queue and everything else of the engines. Unsent messages stay in the table messages, in no place. The views, what returns
-- their rows, and the triggers on the tables that stay go as well, because they need the tables that go: `migrate up` makes them again.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_class c ON c.reltype = p.prorettype
               WHERE p.pronamespace = 'messaging'::regnamespace AND c.relkind = 'v' LOOP
        EXECUTE format('DROP FUNCTION %s', one.name);
    END LOOP;
    FOR one IN SELECT oid::regclass AS name FROM pg_class
               WHERE relnamespace = 'messaging'::regnamespace AND relkind = 'v' ORDER BY oid DESC LOOP
        EXECUTE format('DROP VIEW %s', one.name);
    END LOOP;
    FOR one IN SELECT t.tgname AS name, t.tgrelid::regclass AS target
               FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
               WHERE NOT t.tgisinternal AND p.pronamespace = 'messaging'::regnamespace
                 AND t.tgrelid IN ('public.messages'::regclass, 'messaging._endpoint_state'::regclass) LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', one.name, one.target);
    END LOOP;
END $$;
DELETE FROM messaging._function_file;
DROP TABLE messaging._queue, messaging._schedule, messaging._hold, messaging._claim, messaging._dead, messaging._sent_batch,
           messaging._receipt_backlog, messaging._attempt, messaging._endpoint_minute, messaging._instance, messaging._state, messaging._reconcile,
           messaging._suspect;
