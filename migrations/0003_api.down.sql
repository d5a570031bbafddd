-- Forgets every Idempotency-Key.
DROP TABLE messaging._idempotency_key;
