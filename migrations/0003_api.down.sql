-- Forgets every Idempotency-Key and every replay. CASCADE: the view of the replays, and the functions of its rows.
DROP TABLE messaging._idempotency_key;
DROP TABLE messaging._replay, messaging._replay_pace CASCADE;
