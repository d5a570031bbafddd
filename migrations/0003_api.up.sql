-- What the HTTP API keeps.
CREATE TABLE messaging._idempotency_key (
    key         text PRIMARY KEY,
    fingerprint text        NOT NULL,                 -- of the request body: the same key with another body is refused
    outline     text        NOT NULL,                 -- of the answer: a JSON array with null for each message that was accepted
    ids         bigint[],
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX _idempotency_key_age ON messaging._idempotency_key (created_at);
