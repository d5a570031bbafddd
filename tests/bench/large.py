"""Fills public.messages with messages that were sent long ago, in one table or in partitions by id, at hundreds of thousands a second."""
import shutil

SPARE_BYTES = 15 << 30  # of the disk, left to others
ROW_BYTES = 450         # of a sent message of 64 bytes, its index entries included
# A page of a living table holds the messages that an INSERT has put there at fill factor 42, each grown by a third when it was
# marked sent. A table that is filled with sent messages has as many on each page at this fill factor.
SETTLED = 56
NEW_ROWS = 10_000_000  # in the partition that new messages go to, at least
LOADING = ("wal_level=minimal", "max_wal_senders=0", "max_wal_size=16GB", "checkpoint_timeout=1h")  # what a transaction creates and fills needs no WAL


def check_disk(world, rows):
    free = shutil.disk_usage(world.directory).free
    if free < rows * ROW_BYTES + SPARE_BYTES:
        raise SystemExit(f"{rows:,} rows take {rows * ROW_BYTES >> 30} GB, and {free >> 30} GB are free, of which {SPARE_BYTES >> 30} are left alone: "
                         "set TMPDIR to a larger disk, or give a smaller SCALE")


def sent_rows(table, first, last, unsent_from=None):
    """Rows `first` to `last`; those from `unsent_from` on are unsent."""
    sent = "true" if unsent_from is None else f"g < {unsent_from}"
    return f"""INSERT INTO {table} (id, recipient, content, is_sent, attempts, sent_at, receiver_message_id) OVERRIDING SYSTEM VALUE
        SELECT g, '+905551111111', repeat('x', 64), {sent}, ({sent})::int, CASE WHEN {sent} THEN now() END,
               CASE WHEN {sent} THEN '67f2f8a8-ea58-4ed0-a6f9-ff217df4d849' END
        FROM (SELECT generate_series({first}::bigint, {last}::bigint) AS g) numbers"""


def settle_table(world, rows, vacuum="VACUUM (FREEZE, ANALYZE)"):
    world.sql(f"SELECT setval(pg_get_serial_sequence('public.messages', 'id'), {rows})")
    world.sql(f"{vacuum} public.messages")
    world.sql("CHECKPOINT")


def fill_plain(world, rows, unsent=0):
    """The last `unsent` messages wait in the queue, as one INSERT would have put them there."""
    world.sql(f"""SET session_replication_role = replica; SET maintenance_work_mem = '1GB';
        TRUNCATE public.messages, messaging._queue;
        ALTER TABLE public.messages DROP CONSTRAINT messages_pkey;
        DROP INDEX public.messages_recipient;
        ALTER TABLE public.messages SET (fillfactor = {SETTLED}, autovacuum_enabled = off);
        {sent_rows("public.messages", 1, rows, rows - unsent + 1)};
        INSERT INTO messaging._queue (xid, id) SELECT pg_current_xact_id(), g FROM generate_series({rows - unsent + 1}, {rows}) g;
        ALTER TABLE public.messages ADD CONSTRAINT messages_pkey PRIMARY KEY (id);
        CREATE INDEX messages_recipient ON public.messages (recipient, id);
        ALTER TABLE public.messages SET (fillfactor = 42), RESET (autovacuum_enabled)""")
    settle_table(world, rows)
    world.sql("VACUUM ANALYZE messaging._queue")


# The same columns, checks and triggers. Nothing is taken over from the rows: there are none yet.
PARTITION_THE_TABLE = """
DO $$
DECLARE
    triggers text[] := ARRAY(SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'public.messages'::regclass AND NOT tgisinternal ORDER BY tgname);
    definition text;
BEGIN
    ALTER TABLE public.messages RENAME TO unpartitioned;
    CREATE TABLE public.messages (LIKE public.unpartitioned INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING CONSTRAINTS) PARTITION BY RANGE (id);
    DROP TABLE public.unpartitioned;
    ALTER TABLE public.messages ADD CONSTRAINT messages_pkey PRIMARY KEY (id);
    CREATE INDEX messages_recipient ON public.messages (recipient, id);
    FOREACH definition IN ARRAY triggers LOOP
        EXECUTE definition;
    END LOOP;
END $$"""


def fill_partitions(world, rows, partitions):
    """So many full ones, the one that new messages go to, and one ahead of need."""
    world.sql(PARTITION_THE_TABLE)
    size, end = rows // partitions, 1
    for number in range(partitions + 2):
        full = number < partitions
        name, first, end = f"public.messages_{number}", end, end + (size if full else max(size, NEW_ROWS))
        last = end - 1 if full else first - 1
        world.sql(f"""SET maintenance_work_mem = '1GB';
            CREATE TABLE {name} (LIKE public.messages INCLUDING DEFAULTS INCLUDING CONSTRAINTS, CONSTRAINT bounds CHECK (id >= {first} AND id < {end}))
                WITH (fillfactor = {SETTLED}, autovacuum_enabled = off);
            {sent_rows(name, first, last)};
            ALTER TABLE {name} ADD PRIMARY KEY (id);
            CREATE INDEX ON {name} (recipient, id);
            ALTER TABLE public.messages ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end});
            ALTER TABLE {name} DROP CONSTRAINT bounds;
            ALTER TABLE {name} SET (fillfactor = 42), RESET (autovacuum_enabled)""")
        world.sql(f"VACUUM (FREEZE, ANALYZE) {name}")  # while it is in the cache
    settle_table(world, size * partitions, vacuum="ANALYZE")  # of the whole: autovacuum never does that
