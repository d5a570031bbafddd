ALTER TABLE messages SET (fillfactor = 50);
