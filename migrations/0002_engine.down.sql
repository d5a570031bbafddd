-- Removes the queue and everything else of the engines. Unsent messages stay in the archive, in no place.
DROP TABLE messaging._queue, messaging._schedule, messaging._hold, messaging._claim, messaging._dead, messaging._sent_batch,
           messaging._receipt_backlog, messaging._attempt, messaging._instance, messaging._state, messaging._reconcile,
           messaging._suspect;
