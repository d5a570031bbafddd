-- Removes everything that 0001 made, the messages included.
DROP TABLE messages, message_queue, message_schedule, message_claim, message_dead, message_sent_batch, receipt_backlog,
           delivery_attempt, engine_instance, service_state, idempotency_key, endpoints;
DROP FUNCTION messaging_enqueue(), messaging_resend(), messaging_control_changed();
