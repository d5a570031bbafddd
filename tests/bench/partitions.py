"""Is a table in partitions by id as fast as a plain one? Every figure stands beside that of a small plain table, measured by turns with it."""
import json, statistics, time

from large import LOADING, check_disk, fill_partitions, fill_plain
from measure import cpu_seconds, drain, latency

SMALL = 100_000
PARTITIONS = 10
GROWING = (1, 10, 30, 100)  # with two more each, see fill_partitions()
PAIRS = 5
OF_SMALL = "of the small table's time"


def statements(small, large, mode, batch, rounds):
    return json.loads(small.run([small.build / "bench_statements", mode, batch, rounds, small.database, large.database]))


def statement_rows(small, large, name, mode, scale):
    """The service's statements alone, without HTTP, in batches of a drain and of a single message."""
    rows = []
    for batch, rounds in ((1000, max(int(100 * scale), 20)), (1, max(int(3000 * scale), 300))):
        one, other = statements(small, large, mode, batch, rounds)
        what = lambda step: f"{name}, {mode}: {step} {batch:,}"
        each = {step: (one[f"{step}_ms"], other[f"{step}_ms"]) for step in ("insert", "claim", "record")}
        for step, (base, found) in each.items():
            rows.append((what(step), found, "ms", OF_SMALL, [f / b for f, b in zip(found, base)], ""))
        sums = lambda steps, which: [sum(values) for values in zip(*(each[step][which] for step in steps))]
        for step in each:
            base, found = one["cpu_us"][step] / batch, other["cpu_us"][step] / batch
            rows.append((what(step) + ", CPU of PostgreSQL", [found], f"us/message, {found - base:+.2f} us against the small table", OF_SMALL, [found / base], ""))
        if batch > 1:
            base, found = sums(("claim", "record"), 0), sums(("claim", "record"), 1)
            rows.append((what("claim and record"), [batch / f * 1000 for f in found], "messages/s", "of the small table's", [b / f for f, b in zip(found, base)], ">= 0.95"))
        else:
            base, found = sums(("insert", "claim", "record"), 0), sums(("insert", "claim", "record"), 1)
            rows.append((what("insert, claim and record") + ", more than the small table", [f - b for f, b in zip(found, base)], "ms", "", [], "<= 0.1"))
            # The clock counts what else the machine does, and every fsync; this does not.
            more = sum(other["cpu_us"][step] - one["cpu_us"][step] for step in ("claim", "record"))
            rows.append((what("claim and record") + ", CPU of PostgreSQL, more than the small table", [more], "us", "", [], "<= 100"))
    for statement, (locks, shared) in other["locks"].items():
        base = one["locks"][statement]
        rows.append((f"{name}, {mode}: locks of {statement}", [locks], f"locks, {shared} of them in the shared lock table; small: {base[0]} and {base[1]}", "", [], ""))
    return rows


def service_rows(small, large, name, scale):
    """The real service, receiver and receipts included."""
    count, seconds, rows = max(int(100_000 * scale), 5000), max(10 * scale, 2), []
    services = [(each, *each.serve()) for each in (small, large)]
    for each, _, api in services:
        drain(each, api, 5000)
    pairs, cpu = [], []
    for _ in range(PAIRS):
        pair, used = [], [cpu_seconds(small.postgres.pid)]
        for each, _, api in services:
            pair.append(drain(each, api, count))
            used.append(cpu_seconds(small.postgres.pid))
        pairs.append(pair)
        cpu.append([(used[i + 1] - used[i]) * 1e6 / count for i in (0, 1)])
    for _, process, _ in services:
        small.stop(process)
    rows.append((f"{name}: drain of {count:,}", [found for _, found in pairs], "messages/s", "of the small table's", [found / base for base, found in pairs], ">= 0.95"))
    rows.append((f"{name}: drain of {count:,}, CPU of PostgreSQL, the INSERT included", [found for _, found in cpu], "us/message", "of the small table's", [found / base for base, found in cpu], ""))
    for rate, connections in ((50, 1), (1000, 4)):
        pairs = [[latency(each, rate, seconds, connections) for each in (small, large)] for _ in range(PAIRS)]
        for figure in ("median_ms", "p99_ms", "commit_ms"):
            found = [pair[1][figure] for pair in pairs]
            more = [pair[1][figure] - pair[0][figure] for pair in pairs]
            words = {"median_ms": "insert to received, median", "p99_ms": "insert to received, p99", "commit_ms": "the INSERT alone, median"}[figure]
            rows.append((f"{name}: {words}, {rate:,}/s", found, f"ms, {statistics.median(more):+.3f} ms against the small table", "", [], "<= +0.1" if figure == "median_ms" else ""))
    return rows


# Retention without partitions: the oldest messages, a thousand in each transaction, with the triggers of the table.
DELETE_IN_BATCHES = """
CREATE TEMP TABLE batch (ms float8, cpu_ms float8);
CREATE FUNCTION pg_temp.cpu_ms() RETURNS float8 LANGUAGE sql AS $$ SELECT split_part(pg_read_file('/proc/' || pg_backend_pid() || '/schedstat'), ' ', 1)::float8 / 1e6 $$;
SELECT pg_current_wal_lsn() AS wal_before \\gset
DO $$
DECLARE
    began timestamptz;
    cpu_before float8;
BEGIN
    FOR number IN 0..99 LOOP
        began := clock_timestamp();
        cpu_before := pg_temp.cpu_ms();
        DELETE FROM public.messages WHERE id > number * 1000 AND id <= (number + 1) * 1000 AND is_sent;
        COMMIT;
        INSERT INTO batch VALUES (extract(epoch FROM clock_timestamp() - began) * 1000, pg_temp.cpu_ms() - cpu_before);
        COMMIT;
    END LOOP;
END $$;
SELECT string_agg(ms::text, ' '), string_agg(cpu_ms::text, ' '), pg_wal_lsn_diff(pg_current_wal_lsn(), :'wal_before') FROM batch;
"""


def delete_rows(large, name):
    times, cpu, wal = large.script(DELETE_IN_BATCHES).split("|")
    return [(f"{name}: DELETE of the oldest 1,000", [float(ms) for ms in times.split()], "ms", "", [], ""),
            (f"{name}: DELETE of the oldest 1,000, CPU of PostgreSQL", [float(ms) for ms in cpu.split()], "us/message", "", [], ""),
            (f"{name}: DELETE of the oldest 1,000, WAL", [float(wal) / 100_000], "bytes/message", "", [], "")]


def drop_rows(large, name):
    began = time.monotonic()
    large.script("ALTER TABLE public.messages DETACH PARTITION public.messages_0; DROP TABLE public.messages_0;")
    return [(f"{name}: DETACH and DROP of the oldest partition", [(time.monotonic() - began) * 1000], "ms", "", [], "")]


def growing_rows(world, scale):
    """The same beside more and more partitions, which are small: what they cost is not their rows."""
    rows, rounds = [], max(int(1500 * scale), 150)
    for count in GROWING:
        large = world.beside(f"of_{count}")
        fill_partitions(large, 10_000 * count, count)
        world.restart_postgres()
        one, other = statements(world, large, "force_generic_plan", 1, rounds)
        for step in ("claim", "record"):
            base, found = one["cpu_us"][step], other["cpu_us"][step]
            rows.append((f"{count + 2} partitions of few rows: {step} 1, CPU of PostgreSQL", [found], f"us, {found - base:+.0f} us against the small table", OF_SMALL, [found / base], ""))
        rows.append((f"{count + 2} partitions of few rows: locks of one message's claim and record", [sum(locks for locks, _ in other["locks"].values())], "locks", "", [], ""))
        one, other = statements(world, large, "force_generic_plan", 1000, max(rounds // 40, 20))
        both = lambda found: [claim + record for claim, record in zip(found["claim_ms"], found["record_ms"])]
        rows.append((f"{count + 2} partitions of few rows: claim and record 1,000", [1e6 / ms for ms in both(other)], "messages/s", "of the small table's",
                     [base / found for base, found in zip(both(one), both(other))], ""))
        world.restart_postgres(*LOADING)
        world.sql(f"DROP DATABASE {large.database.rsplit('/', 1)[1]}")
    return rows


def measure(world, scale):
    count, rows = max(int(100_000_000 * scale), 1000) // PARTITIONS * PARTITIONS, []
    check_disk(world, count)
    world.restart_postgres(*LOADING)
    fill_plain(world, SMALL)
    # One after the other, so that the disk has room for both.
    for label, fill in (("plain", fill_plain), (f"{PARTITIONS} partitions", lambda large, count: fill_partitions(large, count, PARTITIONS))):
        name = f"{count:,} sent rows, {label}"
        large = world.beside(label.split()[-1])
        fill(large, count)
        world.restart_postgres()
        modes = ("force_generic_plan",) if label == "plain" else ("force_generic_plan", "auto", "force_custom_plan")
        for mode in modes:
            rows += statement_rows(world, large, name, mode, max(scale, 0.1))
        rows += service_rows(world, large, name, max(scale, 0.1))
        rows += delete_rows(large, name) if label == "plain" else drop_rows(large, name)
        world.restart_postgres(*LOADING)
        world.sql(f"DROP DATABASE {large.database.rsplit('/', 1)[1]}")
    return rows + growing_rows(world, max(scale, 0.1))
