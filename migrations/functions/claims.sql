-- The ledger of the claims as rows; whether a message is open; the status of a message. Each rule has one home here. (The claims themselves
-- are in src/repository/claim_statements.cc.) PostgreSQL replaces the view and
-- the functions by their text (it "inlines" them), so they cost nothing: a function must have no SET clause and no sub-select for that.

CREATE OR REPLACE VIEW messaging._claimed AS
SELECT c.claim_id, c.instance_id, u.id, u.attempts, u.generation
FROM messaging._claim c CROSS JOIN LATERAL unnest(c.ids, c.attempts, c.generations) AS u(id, attempts, generation);
COMMENT ON VIEW messaging._claimed IS
    'The messages that the claims name, with the attempts and the generation that each had when it was claimed.';

-- Whether a claimed message is open: unsent, and with the values that it had when it was claimed. Otherwise the claim has resolved it.
CREATE OR REPLACE FUNCTION messaging._is_open(m public.messages, claimed_attempts integer, claimed_generation integer) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT NOT m.is_sent AND m.attempts = claimed_attempts AND m.generation = claimed_generation
$$;

-- The status of a message, by the places that have it. `is_claimed`: messaging._claimed names it with its present values. An unsent
-- message that is in no other place is pending.
CREATE OR REPLACE FUNCTION messaging._status(is_sent boolean, is_dead boolean, is_held boolean, is_scheduled boolean, is_claimed boolean)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN is_sent THEN 'sent' WHEN is_dead THEN 'dead' WHEN is_held THEN 'held' WHEN is_scheduled THEN 'scheduled'
                WHEN is_claimed THEN 'sending' ELSE 'pending' END
$$;
