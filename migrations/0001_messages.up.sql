-- The messages and the endpoints that receive them. Everything but public.messages lives in schema messaging; a leading underscore
-- marks an internal table. docs and src/README.md have the reasons and the measurements.

-- Two systems that send to one receiver must never use the same webhook-id: these letters are part of each one.
CREATE TABLE messaging._database (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    tag      text NOT NULL DEFAULT substr(translate(md5(gen_random_uuid()::text), '0123456789', 'ghijkmnpqr'), 1, 6)
);
INSERT INTO messaging._database DEFAULT VALUES;

-- The trigger endpoints_check (functions/endpoints.sql) refuses what an endpoint must not have, with a sentence for each. The CHECKs are for
-- rows that come without triggers.
CREATE TABLE messaging.endpoints (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text    NOT NULL UNIQUE,
    url             text    NOT NULL,
    description     text,
    tenant          text,
    headers         text    NOT NULL DEFAULT '{}',
    max_in_flight   integer NOT NULL DEFAULT 64,
    timeout_seconds integer,                          -- NULL: REQUEST_TIMEOUT
    max_attempts    integer,                          -- NULL: MAX_ATTEMPTS
    rate_limit      integer,                          -- NULL: none
    signing         text    NOT NULL DEFAULT 'v1',
    event_types     text[]  NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT endpoints_name_bytes      CHECK (octet_length(name) BETWEEN 1 AND 255),
    CONSTRAINT endpoints_url_bytes       CHECK (octet_length(url) BETWEEN 1 AND 8192),
    CONSTRAINT endpoints_text_bytes      CHECK (octet_length(description) <= 1024 AND octet_length(tenant) <= 255),
    CONSTRAINT endpoints_headers_bytes   CHECK (octet_length(headers) <= 65536),
    CONSTRAINT endpoints_headers_json    CHECK (json_typeof(headers::json) = 'object'),
    CONSTRAINT endpoints_max_in_flight   CHECK (max_in_flight BETWEEN 1 AND 10000),
    CONSTRAINT endpoints_timeout_seconds CHECK (timeout_seconds BETWEEN 1 AND 300),
    CONSTRAINT endpoints_max_attempts    CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT endpoints_rate_limit      CHECK (rate_limit BETWEEN 1 AND 10000),
    CONSTRAINT endpoints_signing         CHECK (signing IN ('v1', 'v1a', 'none')),
    CONSTRAINT endpoints_event_types     CHECK (cardinality(event_types) <= 100)
);
CREATE INDEX endpoints_event_types ON messaging.endpoints USING gin (event_types);
COMMENT ON TABLE messaging.endpoints IS 'The webhooks that messages can be delivered to. Row "default" follows WEBHOOK_URL.';
COMMENT ON COLUMN messaging.endpoints.name IS '1 to 100 letters, digits, blanks, dots, underscores and hyphens, and not digits alone.';
COMMENT ON COLUMN messaging.endpoints.tenant IS 'Whose endpoint it is, where an application has several customers.';
COMMENT ON COLUMN messaging.endpoints.headers IS 'A JSON object of header names to values, added to each request.';
COMMENT ON COLUMN messaging.endpoints.max_in_flight IS 'The most requests of one engine at a time.';
COMMENT ON COLUMN messaging.endpoints.timeout_seconds IS 'For one request, connecting included. NULL: REQUEST_TIMEOUT of the service.';
COMMENT ON COLUMN messaging.endpoints.max_attempts IS
    'After so many failed attempts a message is dead-lettered. NULL: MAX_ATTEMPTS of the service.';
COMMENT ON COLUMN messaging.endpoints.rate_limit IS 'The most requests per second, of all instances together. NULL: no limit.';
COMMENT ON COLUMN messaging.endpoints.event_types IS
    'The types of events that it gets: exact ones, all below a name (invoice.*), or all (*).';
COMMENT ON COLUMN messaging.endpoints.signing IS 'How requests are signed (Standard Webhooks): v1 = HMAC-SHA256, v1a = ed25519, or none.';

-- The secrets that requests are signed with, made by the service. Current: expires_at is NULL, one at most of each kind. The others
-- are earlier ones, which sign as well until they expire. `secret` is as receivers write it (whsec_…, whsk_…), or sealed by
-- SECRETS_KEY for this endpoint and kind (sealed:…). Rows go with their endpoint, by a trigger. Role reader cannot read them.
CREATE TABLE messaging._endpoint_secret (
    secret_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id bigint NOT NULL,
    kind        text   NOT NULL CHECK (kind IN ('v1', 'v1a')),
    secret      text   NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz CHECK (expires_at >= '1970-01-01 00:00+00' AND expires_at < '3000-01-01 00:00+00'),
    CONSTRAINT _endpoint_secret_form CHECK (
        CASE WHEN secret LIKE 'sealed:%' THEN octet_length(secret) <= 512
             WHEN kind = 'v1' THEN secret ~ '^whsec_[A-Za-z0-9+/]{32,87}={0,2}$'
             ELSE secret ~ '^whsk_[A-Za-z0-9+/]{86}==$' END)
);
CREATE UNIQUE INDEX _endpoint_secret_current ON messaging._endpoint_secret (endpoint_id, kind) WHERE expires_at IS NULL;
CREATE INDEX _endpoint_secret_endpoint ON messaging._endpoint_secret (endpoint_id, kind);

-- One row for each endpoint, kept by a trigger. Small and hot, apart from the configuration: each claim reads it. A state other than
-- active moves the endpoint's messages into messaging._hold at their claim.
--   active     its messages are sent as they come
--   backlogged they come faster than it takes them: they wait in the hold, and engines claim them there as fast as it takes them
--   failing    nothing but failures: they wait in the hold, and one at a time is tried, until one succeeds
--   disabled   they wait in the hold until the state is set to active
CREATE TABLE messaging._endpoint_state (
    endpoint_id bigint PRIMARY KEY,
    state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'backlogged', 'failing', 'disabled')),
    reason      text,
    since       timestamptz NOT NULL DEFAULT now(),
    version     bigint NOT NULL DEFAULT 1             -- another one after each change of the endpoint or of its secrets: claims answer it
) WITH (fillfactor = 50);
CREATE INDEX _endpoint_state_from_hold ON messaging._endpoint_state (endpoint_id) WHERE state IN ('backlogged', 'failing');
CREATE INDEX _endpoint_state_not_active ON messaging._endpoint_state (state) WHERE state <> 'active';
CREATE INDEX _endpoint_state_since ON messaging._endpoint_state (since);

-- The next free moment of each endpoint that has a rate limit and is sent to. Engines reserve moments for their requests here. A row stays when
-- its endpoint is deleted: a transaction that deletes one would otherwise lock what the engines reserve with.
CREATE TABLE messaging._endpoint_rate (
    endpoint_id bigint PRIMARY KEY,
    free_at     timestamptz NOT NULL
) WITH (fillfactor = 10);

-- An event is stored once, however many endpoints get it. The trigger messaging_event (functions/events.sql) makes a message for each
-- endpoint that subscribes to it. The request carries data byte for byte: the type json keeps the text as it was written.
CREATE TABLE messaging.events (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type       text        NOT NULL,
    data       json        NOT NULL,
    tenant     text,
    created_at timestamptz NOT NULL DEFAULT now(),
    by_service boolean     NOT NULL DEFAULT false,
    CONSTRAINT events_id           CHECK (id > 0),
    CONSTRAINT events_type         CHECK (octet_length(type) <= 128 AND type ~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$'),
    CONSTRAINT events_data_bytes   CHECK (octet_length(data::text) >= 1 AND octet_length(data::text) <= 4096),
    CONSTRAINT events_tenant_bytes CHECK (octet_length(tenant) BETWEEN 1 AND 255),
    CONSTRAINT events_created_at   CHECK (created_at >= '1970-01-01 00:00+00' AND created_at < '3000-01-01 00:00+00')
);
COMMENT ON TABLE messaging.events IS
    'INSERT (type, data) sends an event to each endpoint that subscribes to its type and has the same tenant.';
COMMENT ON COLUMN messaging.events.type IS 'Names of letters, digits, _ and -, separated by dots: invoice.paid';
COMMENT ON COLUMN messaging.events.data IS 'Sent byte for byte, as the member data of the body.';
COMMENT ON COLUMN messaging.events.by_service IS
    'Whether it is an event of the service''s own: only these have types that begin with messaging. No right on it is granted to writers.';
COMMENT ON COLUMN messaging.events.tenant IS 'Whose event it is: only endpoints of this tenant get it. NULL: only endpoints without a tenant.';

-- No index and no partial-index predicate may mention a column that recording an outcome writes: is_sent, sent_at, attempts,
-- abandoned, generation, last_error, receiver_message_id. Marking a message sent must stay a HOT update on the page it is on.
-- The fill factor leaves the room for it: a message of 64 bytes grows by a third when it is marked, and at 50 % a sixth of
-- the rows moved to another page, which costs a full row of WAL and index entries.
-- Each CHECK is a promise to the engines: no row that the table accepts can make a claim or a record fail.
CREATE TABLE public.messages (
    id                  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient           text,
    content             text,
    is_sent             boolean     NOT NULL DEFAULT false,
    abandoned           smallint    NOT NULL DEFAULT 0,
    attempts            integer     NOT NULL DEFAULT 0,
    generation          integer     NOT NULL DEFAULT (floor(random() * 16777216)::integer * 128),
    created_at          timestamptz NOT NULL DEFAULT now(),
    endpoint_id         bigint      NOT NULL DEFAULT 1,
    sent_at             timestamptz,
    receiver_message_id text,
    last_error          text,
    event_id            bigint,
    ordering_key        text,
    scheduled_at        timestamptz,
    expires_at          timestamptz,
    traceparent         text,
    CONSTRAINT messages_id                  CHECK (id > 0),
    CONSTRAINT messages_recipient_bytes     CHECK (octet_length(recipient) BETWEEN 1 AND 255),
    CONSTRAINT messages_content_bytes       CHECK (octet_length(content) >= 1 AND octet_length(content) <= 4096),
    CONSTRAINT messages_abandoned           CHECK (abandoned BETWEEN 0 AND 1000),
    CONSTRAINT messages_attempts            CHECK (attempts BETWEEN 0 AND 32000),
    CONSTRAINT messages_generation          CHECK (generation >= 0),
    CONSTRAINT messages_created_at          CHECK (created_at >= '1970-01-01 00:00+00' AND created_at < '3000-01-01 00:00+00'),
    CONSTRAINT messages_sent_at             CHECK (sent_at >= '1970-01-01 00:00+00' AND sent_at < '3000-01-01 00:00+00'),
    CONSTRAINT messages_receiver_id_bytes   CHECK (octet_length(receiver_message_id) <= 1024),
    CONSTRAINT messages_last_error_bytes    CHECK (octet_length(last_error) <= 2048),
    CONSTRAINT messages_need_recipient_and_content CHECK (
        CASE WHEN event_id IS NULL THEN recipient IS NOT NULL AND content IS NOT NULL ELSE recipient IS NULL AND content IS NULL END),
    CONSTRAINT messages_reserved            CHECK (num_nonnulls(ordering_key, scheduled_at, expires_at, traceparent) = 0)
) WITH (fillfactor = 42);
CREATE INDEX messages_recipient ON public.messages (recipient, id);
CREATE INDEX messages_event ON public.messages (event_id, id) WHERE event_id IS NOT NULL;

COMMENT ON TABLE public.messages IS
    'One row is one message to deliver to one endpoint. INSERT (recipient, content) sends; UPDATE … SET is_sent = false sends again.';
COMMENT ON COLUMN public.messages.attempts IS 'Failed and successful attempts so far. The service alone changes it.';
COMMENT ON COLUMN public.messages.abandoned IS 'How often an engine failed while it had the message. The service alone changes it.';
COMMENT ON COLUMN public.messages.generation IS
    'Tells this message from another one with the same id, and a sending from an earlier one: a random number in the upper bits, '
    'and the number of times that the message was sent again in the lower 7. The service alone changes it.';
COMMENT ON COLUMN public.messages.event_id IS
    'The event that it delivers; recipient and content are NULL then. The service alone sets it: insert into messaging.events.';
COMMENT ON CONSTRAINT messages_reserved ON public.messages IS
    'ordering_key, scheduled_at, expires_at and traceparent are reserved for coming versions and must be NULL.';
