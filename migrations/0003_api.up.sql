-- The tables of the HTTP API.

-- The responses to requests with an Idempotency-Key, for 24 hours. A repeat of a request gets the stored response, byte for byte.
CREATE TABLE messaging._idempotency_key (
    scope       text        NOT NULL,                 -- method and path: the same key on another path is another key
    key         text        NOT NULL,
    fingerprint text        NOT NULL,                 -- of the request body: the same key with another body is refused
    status      integer     NOT NULL,
    body        text,                                 -- NULL only inside the transaction that takes the key
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX _idempotency_key_age ON messaging._idempotency_key (created_at);
