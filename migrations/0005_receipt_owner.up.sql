-- Each engine reads its own unconfirmed batches, and steps from one instance's to the next one's, however many there are.
CREATE INDEX receipt_backlog_instance ON receipt_backlog (instance_id, batch_id);
