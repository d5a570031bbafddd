-- Removes the queue and everything else of the engines. Unsent messages stay in the archive, in no place. The triggers go as well, which
-- need these tables: `migrate up` makes them again.
DROP TRIGGER messaging_insert ON public.messages;
DROP TRIGGER zz_messaging_1_keep ON public.messages;
DROP TRIGGER zz_messaging_2_send_again ON public.messages;
DROP TRIGGER messaging_delete ON public.messages;
DROP TRIGGER messaging_truncate ON public.messages;
DELETE FROM messaging._function_file;
DROP TABLE messaging._queue, messaging._schedule, messaging._hold, messaging._claim, messaging._dead, messaging._sent_batch,
           messaging._receipt_backlog, messaging._attempt, messaging._instance, messaging._state, messaging._reconcile,
           messaging._suspect;
