-- Removes the messages, the endpoints, and every function and trigger of the product.
DROP TABLE public.messages, messaging.events, messaging.endpoints, messaging._endpoint_secret, messaging._endpoint_state, messaging._database;
DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'messaging'::regnamespace LOOP
        EXECUTE 'DROP FUNCTION ' || one;
    END LOOP;
    DELETE FROM messaging._function_file;
END $$;
