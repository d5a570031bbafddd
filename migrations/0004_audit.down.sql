DROP FUNCTION messaging_audit(integer);
DROP TABLE message_audit;
