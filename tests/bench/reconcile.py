"""How long the walk over all messages takes that finds a lost one, at 2 % of a core (migrations/functions/reconcile.sql)."""
import pathlib, time

from large import LOADING, check_disk, fill_plain
from measure import settle
from world import get, wait_for

SIZES = (1_000_000, 10_000_000, 100_000_000)
LEAST_PERIOD = 300  # seconds; a walk begins no more often
JITTER = 0.05       # seconds, the mean of what the service adds to each rest

# A whole walk without its rests, in rounds as src/engine/reconciler.cc asks for them, with the settings of its session.
WALK = """
SET search_path = pg_catalog; SET jit = off;
CREATE FUNCTION pg_temp.cpu_ms() RETURNS float8 LANGUAGE sql AS $$ SELECT split_part(pg_read_file('/proc/' || pg_backend_pid() || '/schedstat'), ' ', 1)::float8 / 1e6 $$;
SELECT pg_temp.cpu_ms() AS cpu_before \\gset
CREATE TEMP TABLE round (number int GENERATED ALWAYS AS IDENTITY, rows int, cost_ms float8, found bigint);
DO $$
DECLARE
    asked integer := 100000;
    done record;
BEGIN
    UPDATE messaging._reconcile SET walked_to = 0, next_tail = 'infinity', next_round = now();
    COMMIT;
    LOOP
        SELECT * INTO done FROM messaging._reconcile_round(asked);
        INSERT INTO pg_temp.round (rows, cost_ms, found) VALUES (asked, done.cost_ms, done.lost);
        COMMIT;
        EXIT WHEN (SELECT walked_to FROM messaging._reconcile) = 0;
        asked := CASE WHEN done.cost_ms > 500 THEN least(asked * 2, 1000000) ELSE greatest(asked / 2, 100000) END;
        UPDATE messaging._reconcile SET next_round = clock_timestamp();
        COMMIT;
    END LOOP;
    UPDATE messaging._reconcile SET next_tail = now(), next_round = now();
END $$;
SELECT count(*), sum(cost_ms), max(cost_ms), sum(found), pg_temp.cpu_ms() - :cpu_before FROM pg_temp.round;
"""


def read_from_disk():
    """Megabytes, by the whole machine."""
    return int(next(line for line in pathlib.Path("/proc/vmstat").read_text().splitlines() if line.startswith("pgpgin ")).split()[1]) / 1024


def walk(world):
    before = read_from_disk()
    rounds, cost, largest, found, cpu = (float(field) for field in world.script(WALK).split("|"))
    return {"rounds": rounds, "seconds": cost / 1000, "largest_ms": largest, "found": found, "cpu": cpu / 1000, "disk_mb": read_from_disk() - before,
            "period": max(LEAST_PERIOD, cost / 1000 * 51 + rounds * JITTER)}


def walk_rows(world, count, name, lost=()):
    """A cold walk and warm ones. `lost`: statements that lose so many messages each."""
    limit = "<= 600" if count == 10_000_000 else ""
    world.restart_postgres(cold=True)
    cold, warm = walk(world), [walk(world) for _ in range(3)]
    rows = []
    for how, found in (("cold", [cold]), ("warm", warm)):
        assert not any(each["found"] for each in found), found
        rows += [(f"{name}, {how}: period of the walk", [each["period"] for each in found], "s", "", [], limit),
                 (f"{name}, {how}: all rounds", [each["seconds"] for each in found], f"s, in {found[0]['rounds']:.0f} rounds, the longest of {max(each['largest_ms'] for each in found):.0f} ms", "", [], ""),
                 (f"{name}, {how}: all rounds, CPU of PostgreSQL", [each["cpu"] for each in found], f"s; were nothing waited for, the period would be {max(LEAST_PERIOD, 51 * min(each['cpu'] for each in found)):.0f} s", "", [], ""),
                 (f"{name}, {how}: one row", [each["seconds"] / count * 1e6 for each in found], "us", "", [], "")]
    rows.append((f"{name}, cold: read from the disk meanwhile", [cold["disk_mb"]], "MB", "", [], ""))
    for statement in lost:
        world.sql(statement)
        found = walk(world)
        rows.append((f"{name}: of 1 lost message, found by the next walk", [found["found"]], f"message, after at most {found['period']:.0f} s", "", [], "1"))
    return rows


def lost_and_sent(world, count):
    """The service itself: a message in the middle becomes unsent past the trigger, at the moment when the walk has gone by."""
    world.reset()
    world.sql("UPDATE messaging._reconcile SET walked_to = 0, walk_took = NULL, next_round = now()")
    process, _ = world.serve()
    gone_by = f"SELECT walked_to > {count // 2} OR walk_took IS NOT NULL FROM messaging._reconcile"
    wait_for(lambda: time.sleep(1) or world.sql(gone_by) == "t", 3600, "the walk")
    began = time.monotonic()
    world.sql(f"SET session_replication_role = replica; UPDATE public.messages SET is_sent = false WHERE id = {count // 2}")
    wait_for(lambda: time.sleep(0.1) or get(world.receiver + "/stats")["distinct"] >= 1, 3600, "the lost message")
    took = time.monotonic() - began
    settle(world)
    world.stop(process)
    return [(f"{count:,} sent rows: a lost message is sent by the service", [took], "s after it was lost, just behind the walk", "", [], "<= 600")]


def measure(world, scale):
    sizes, rows = [max(int(size * scale), 1000) for size in SIZES], []
    check_disk(world, sizes[-1])
    for count in sizes:
        world.restart_postgres(*LOADING)
        fill_plain(world, count)
        rows += walk_rows(world, count, f"{count:,} sent rows",
                          [f"SET session_replication_role = replica; UPDATE public.messages SET is_sent = false WHERE id = {count // 2}"])
        if count == sizes[1]:
            world.sql("DELETE FROM messaging._queue")
            world.sql("SET session_replication_role = replica; UPDATE public.messages SET is_sent = true WHERE NOT is_sent")
            rows += lost_and_sent(world, count)
            world.restart_postgres(*LOADING)
            fill_plain(world, count, count // 2)
            rows += walk_rows(world, count, f"{count:,} rows, half of them queued", [f"DELETE FROM messaging._queue WHERE id = {count // 4 * 3}"])
            world.sql("TRUNCATE messaging._queue")
    return rows
