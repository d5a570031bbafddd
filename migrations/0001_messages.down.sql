-- Removes the messages, the endpoints, and every function and trigger of the product.
DROP FUNCTION IF EXISTS messaging._is_open(public.messages, integer, integer);  -- it has the table's rows as its argument
DROP TABLE public.messages, messaging.events, messaging.endpoints, messaging._endpoint_secret, messaging._endpoint_state, messaging._endpoint_rate, messaging._database;
DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'messaging'::regnamespace LOOP
        EXECUTE 'DROP FUNCTION ' || one;
    END LOOP;
    DELETE FROM messaging._function_file;
END $$;
