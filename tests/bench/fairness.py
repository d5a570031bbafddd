"""What bad endpoints cost the good ones. Each figure stands beside that of the same run without the bad ones, measured by turns with it."""
import bisect, functools, time

from arrivals import Arrivals
from measure import RUNS, cpu_seconds, drain, insert_to_received, latency, resident_mb, scaled, start_inserts
from world import free_port, wait_for

QUICK_END = {"SHUTDOWN_TIMEOUT": "1s"}  # what hangs is not waited for


def by_turns(without, beside, pairs=RUNS):
    """Every second pair begins with the other measurement, because each one slows the next with what PostgreSQL does behind it."""
    def pair(number):
        if number % 2 == 0:
            return without(), beside()
        found = beside()
        return without(), found

    return [pair(number) for number in range(pairs)]


def add_endpoints(world, name, count, url, rate_limit="NULL"):
    """Their ids follow each other; answers the first."""
    return int(world.sql(f"""WITH added AS (INSERT INTO messaging.endpoints (name, url, rate_limit)
                                            SELECT '{name} ' || g, '{url}', {rate_limit} FROM generate_series(1, {count}) g RETURNING id)
                             SELECT min(id) FROM added"""))


def insert_for(world, endpoint, count):
    """The content of each message is its number."""
    world.sql(f"INSERT INTO messages (recipient, content, endpoint_id) SELECT '+905551111111', g, {endpoint} FROM generate_series(1, {count}) g")


def spread(world, first, endpoints, count, size=64):
    """The messages take turns over the endpoints, from `first` on."""
    world.sql(f"""INSERT INTO messages (recipient, content, endpoint_id)
                  SELECT '+905551111111', repeat('x', {size}), {first} + g % {endpoints} FROM generate_series(1, {count}) g""")


def drain_spread(world, api, count, first, endpoints, alone=True):
    return drain(world, api, count, insert=functools.partial(spread, world, first, endpoints), alone=alone)


def forget_endpoints(world):
    world.sql("DELETE FROM messaging.endpoints WHERE name <> 'default'")
    world.sql("TRUNCATE messages, messaging._queue, messaging._claim, messaging._schedule, messaging._hold, messaging._dead")


def wait_until_held(world, count):
    wait_for(lambda: int(world.sql("SELECT count(*) FROM messaging._hold")) >= count, 600, f"{count} held messages", pause=0.5)


def delay_rows(what, pairs, asked):
    """`pairs` of what bench_latency has printed: without and with the bad ones. `asked`: by name of the figure."""
    return [(f"{what}, {name}", [beside[name + "_ms"] for _, beside in pairs], "ms", "times that without them",
             [beside[name + "_ms"] / alone[name + "_ms"] for alone, beside in pairs], asked.get(name, "")) for name in ("median", "p99")]


def hanging(world, scale):
    """12 endpoints that take requests and never answer, with 3,000 messages each, beside the default one with 100 inserts a second."""
    rate, seconds, receiver = 100, max(20 * scale, 2), world.start_receiver("--hang")

    def good():
        return latency(world, rate, seconds, 1, lambda url: world.serve(webhook=url, **QUICK_END)[0])

    def beside_hanging():
        spread(world, add_endpoints(world, "hanging", 12, receiver + "/"), 12, 12 * 3000)
        found = good()
        forget_endpoints(world)
        return found

    pairs = by_turns(good, beside_hanging)
    return [("12 hanging endpoints beside a good one: not received", [beside["lost"] for _, beside in pairs], f"of {rate * seconds:.0f}", "", [], "0"),
            *delay_rows("the same, insert to received at 100/s", pairs, {"p99": "<= 100"})]


GOOD = 600
KINDS = {"hanging": (200, "?hang=1"), "failing": (100, "?status=500"), "slow": (100, "?delay=2s")}  # how many, and what the receiver is asked for
BAD = sum(count for count, _ in KINDS.values())
WARM_UP = 3 * GOOD  # messages


def add_others(world, receiver, are_bad):
    """Of each kind, or as many good ones; answers the first id."""
    return min([add_endpoints(world, kind, count, f"{receiver}/{query if are_bad else ''}") for kind, (count, query) in KINDS.items()])


def beside_others(world, receiver, are_bad, scale):
    """What bench_latency prints of the 600 good endpoints, and their drain, while the 400 others get a message a second each."""
    port = free_port()
    first = add_endpoints(world, "good", GOOD, f"http://127.0.0.1:{port}/")
    first_other = add_others(world, receiver, are_bad)
    process, api = world.serve(**QUICK_END)
    others = start_inserts(world, f"""\\set endpoint random({first_other}, {first_other + BAD - 1})
        INSERT INTO messages (recipient, content, endpoint_id) VALUES ('+905551111111', 'x', :endpoint)""", BAD, 4)
    time.sleep(max(15 * scale, 8))  # breakers open after 5 s, and requests time out after 10 s
    insert = f"INSERT INTO messages (recipient, content, endpoint_id) VALUES ($1::text, $2::text, {first} + $2::text::bigint % {GOOD})"
    found = insert_to_received(world, port, GOOD, max(20 * scale, 3), 4, insert, WARM_UP)
    world.sql(f"UPDATE messaging.endpoints SET url = '{world.receiver}/' WHERE name LIKE 'good %'")
    drain_spread(world, api, GOOD, first, GOOD, alone=False)  # until the new URL is in use
    drained = drain_spread(world, api, max(int(60_000 * scale), 12_000), first, GOOD, alone=False)
    world.stop(others)
    world.stop(process)
    forget_endpoints(world)
    return found, drained


def thousand_endpoints(world, scale):
    """A message a second for each of 1,000 endpoints: 200 hang, 100 fail, 100 take 2 s. Beside the same with 1,000 good ones."""
    receiver = world.start_receiver()
    pairs = by_turns(*(functools.partial(beside_others, world, receiver, are_bad, scale) for are_bad in (False, True)))
    steady = [(good, bad) for (good, _), (bad, _) in pairs]
    return [("1,000 endpoints, 400 of them bad: not received by the 600 good ones", [bad["lost"] for _, bad in steady], "messages", "", [], "0"),
            ("the same, received at 600/s", [bad["per_second"] for _, bad in steady], "messages/s", "of 1,000 good ones",
             [bad["per_second"] / good["per_second"] for good, bad in steady], ">= 0.9"),
            *delay_rows("the same, insert to received at 600/s", steady, {"p99": "ratio <= 2"}),
            ("the same, drain of the 600 good ones", [bad for _, (_, bad) in pairs], "messages/s", "of 1,000 good ones",
             [bad / good for (_, good), (_, bad) in pairs], ">= 0.9")]


OTHERS = 10  # endpoints beside the one whose messages are held
TRIED = 20   # messages of that endpoint that may wait for their next attempt


def wal_bytes(world):
    return float(world.sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))


def hold_rows(world, dead, count, seconds):
    """Moves the messages of an endpoint that refuses connections to the hold, and keeps them there. Nothing else writes."""
    process, api = world.serve()
    world.switch(api, "stop")
    insert_for(world, dead, count)
    world.sql("CHECKPOINT")
    before = wal_bytes(world)
    world.switch(api, "start")
    wait_until_held(world, count - TRIED)
    held = wal_bytes(world)
    world.sql("VACUUM ANALYZE")
    world.sql("CHECKPOINT")
    kept = wal_bytes(world)
    time.sleep(seconds)
    end = wal_bytes(world)
    world.stop(process)  # which flushes its sessions' statistics
    time.sleep(1)
    written = int(world.sql("SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relid = 'messaging._hold'::regclass"))
    return [(f"{count:,} held messages: rows written to the hold", [written / count], "a message", "", [], "<= 1.01"),
            ("the same, WAL to hold one", [(held - before) / count], "bytes/message", "", [], ""),
            (f"the same, WAL of {seconds:.0f} s while they are held", [(end - kept) / count], "bytes/message", "", [], "<= 1")]


def million_held(world, scale):
    """Two databases drain by turns, each for ten endpoints; one of them has a million messages on hold for an eleventh."""
    count, held, beside = scaled(100_000, scale), scaled(1_000_000, scale), world.beside()
    nobody = f"http://127.0.0.1:{free_port()}/"
    for each in (world, beside):
        first = add_endpoints(each, "good", OTHERS, world.receiver + "/")
        dead = add_endpoints(each, "dead", 1, nobody)
    rows = hold_rows(beside, dead, held, max(30 * scale, 3))
    services = [(each, *each.serve()) for each in (world, beside)]
    for each, _, api in services:
        drain_spread(each, api, 5000, first, OTHERS)
    pairs = by_turns(*(functools.partial(drain_spread, each, api, count, first, OTHERS) for each, _, api in services))
    for _, process, _ in services:
        world.stop(process)
    return rows + [("the same, drain of ten other endpoints", [with_held for _, with_held in pairs], "messages/s", "of the drain without them",
                    [with_held / without for without, with_held in pairs], ">= 0.95")]


RATE_LIMIT = 500
WINDOW = 10  # seconds


def beside_comeback(world, count, seconds):
    """What bench_latency prints of the default endpoint, and the arrivals at one that comes back with so many held messages."""
    port, away = free_port(), free_port()
    endpoint = add_endpoints(world, "away", 1, f"http://127.0.0.1:{away}/", RATE_LIMIT)
    process, _ = world.serve(webhook=f"http://127.0.0.1:{port}/", **QUICK_END)
    insert_for(world, endpoint, count)
    wait_until_held(world, count)
    with Arrivals(away) as back:
        world.sql("SELECT messaging.enable('away 1')")
        found = insert_to_received(world, port, 100, seconds, 1)
        wait_for(lambda: len(back.all) >= count, 120, "the held messages")
    world.stop(process)
    forget_endpoints(world)
    return found, back.all


def out_of_place(numbers):
    """How many would have to be moved for all to be in order: those outside of the longest ascending subsequence."""
    ends = []  # by length: the smallest number that such a subsequence ends with
    for number in numbers:
        place = bisect.bisect_left(ends, number)
        ends[place:place + 1] = [number]
    return len(numbers) - len(ends)


def largest_distance(numbers):
    """Between the places that a message has in the order of arrival and in the order of the numbers."""
    place = {number: i for i, number in enumerate(sorted(numbers))}
    return max(abs(i - place[number]) for i, number in enumerate(numbers))


def most_in_window(moments):
    return max(i + 1 - bisect.bisect_right(moments, moment - WINDOW) for i, moment in enumerate(moments))


def comeback(world, scale):
    """An endpoint with a rate limit comes back, beside the default one with 100 inserts a second. Alone: it has no messages."""
    count = scaled(20_000, scale)
    seconds = count / RATE_LIMIT
    pairs = by_turns(*(functools.partial(beside_comeback, world, held, seconds) for held in (0, count)))
    arrivals = [arrived for _, (_, arrived) in pairs]
    moments = [[moment for moment, _ in arrived] for arrived in arrivals]
    # The first one is the try that ends the state failing. It may be the newest message.
    numbers = [[int(content) for _, content in arrived[1:]] for arrived in arrivals]
    rates = [(len(one) - 1) / (one[-1] - one[0]) for one in moments]
    what = f"{count:,} held messages of an endpoint that comes back"
    return [(f"{what}: not in order", [100 * out_of_place(one) / count for one in numbers], "%", "", [], ""),
            ("the same, largest distance from its place in the order", [largest_distance(one) for one in numbers], "messages", "", [], ""),
            ("the same, received", rates, "messages/s", "of its rate limit", [rate / RATE_LIMIT for rate in rates], ""),
            (f"the same, most in {WINDOW} s", [most_in_window(one) for one in moments], "messages", "of its rate limit",
             [most_in_window(one) / (WINDOW * RATE_LIMIT) for one in moments], "ratio <= 1.05"),
            *delay_rows("the same, another endpoint, insert to received at 100/s", [(alone, beside) for (alone, _), (beside, _) in pairs],
                        {"p99": "ratio <= 2"})]


def drain_and_cpu(world, process, api, count, first, endpoints):
    """Messages per second, and the service's microseconds of CPU for each of them."""
    before = cpu_seconds(process.pid)
    rate = drain_spread(world, api, count, first, endpoints)
    return rate, (cpu_seconds(process.pid) - before) * 1e6 / count


def ten_thousand_endpoints(world, scale):
    """Two databases drain by turns, each for 100 endpoints; in one of them there are 9,900 others."""
    active, count, beside = 100, scaled(100_000, scale), world.beside()
    for each in (world, beside):
        first = add_endpoints(each, "active", active, world.receiver + "/")
    add_endpoints(beside, "idle", 10_000 - active, world.receiver + "/")
    services = [(each, *each.serve()) for each in (world, beside)]
    for each, _, api in services:
        drain_spread(each, api, 5000, first, active)
    pairs = by_turns(*(functools.partial(drain_and_cpu, *service, count, first, active) for service in services), 3 * RUNS)
    memory = resident_mb(services[1][1])
    for _, process, _ in services:
        world.stop(process)
    return [("10,000 endpoints, 100 of them active: drain", [many for _, (many, _) in pairs], "messages/s", "of 100 endpoints",
             [many / few for (few, _), (many, _) in pairs], ">= 0.97"),
            ("the same, CPU of the service", [many for _, (_, many) in pairs], "us/message", "of 100 endpoints",
             [many / few for (_, few), (_, many) in pairs], ""),
            ("resident memory with 10,000 endpoints", [memory], "MB", "", [], "<= 100")]


ALL = {"hanging": hanging, "thousand-endpoints": thousand_endpoints, "million-held": million_held, "comeback": comeback,
       "ten-thousand-endpoints": ten_thousand_endpoints}
