DROP INDEX receipt_backlog_instance;
