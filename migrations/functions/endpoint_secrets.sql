-- Gives an endpoint another secret. repository/secret_store.cc calls it. Answers 'rotated', or the reason why nothing was changed.

-- Expired secrets are removed. The current one signs for `overlap` seconds more, and the earlier ones until they expire; without an
-- overlap all of them end at once. Two calls for one endpoint run one after the other.
CREATE OR REPLACE FUNCTION messaging._rotate_secret(endpoint bigint, new_kind text, new_secret text, overlap integer) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_previous CONSTANT integer := 10;
    wanted_kind text;
BEGIN
    SELECT signing INTO wanted_kind FROM messaging.endpoints WHERE id = endpoint FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'no such endpoint';
    ELSIF wanted_kind <> new_kind THEN
        RETURN 'another kind';
    END IF;
    IF overlap > 0 AND (SELECT count(*) >= most_previous FROM messaging._endpoint_secret
                        WHERE endpoint_id = endpoint AND kind = new_kind AND expires_at > clock_timestamp()) THEN
        RETURN 'too many';
    END IF;
    DELETE FROM messaging._endpoint_secret
    WHERE endpoint_id = endpoint AND (expires_at <= clock_timestamp() OR (overlap <= 0 AND kind = new_kind));
    UPDATE messaging._endpoint_secret SET expires_at = clock_timestamp() + overlap * interval '1 s'
    WHERE endpoint_id = endpoint AND kind = new_kind AND expires_at IS NULL;
    INSERT INTO messaging._endpoint_secret (endpoint_id, kind, secret) VALUES (endpoint, new_kind, new_secret);
    RETURN 'rotated';
END $$;
