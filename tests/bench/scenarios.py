"""The scenarios, each a function from a World and a scale to rows: (what, samples, unit, what the ratio is of, ratios, what is asked for)."""
import re, statistics, time

import fairness, partitions, reconcile
from measure import (RUNS, answer_ms, ceiling, cpu_seconds, drain, inserts_per_second, latency, moment, portion, resident_mb, scaled, settle)
from world import get, wait_for

SLACK = 20_000  # messages beside the portions, each of which sends a few more until its stop is heard


def archive(world, count):
    """So many messages that were sent long ago."""
    world.sql(f"""SET session_replication_role = replica;
        INSERT INTO messages (recipient, content, is_sent, attempts, sent_at, receiver_message_id)
        SELECT '+905551111111', repeat('x', 64), true, 1, now(), '67f2f8a8-ea58-4ed0-a6f9-ff217df4d849' FROM generate_series(1, {count});
        INSERT INTO messaging._sent_batch (sent_at, size, ids) SELECT now(), 1000, array_agg(id)
        FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / 1000 AS part FROM messages WHERE is_sent ORDER BY id LIMIT {count}) m GROUP BY part;""")
    world.sql("VACUUM ANALYZE messages")
    world.sql("CHECKPOINT")


def drain_small(world, scale):
    process, api = world.serve()
    count = scaled(100_000, scale)
    drain(world, api, 5000)
    pairs = [(ceiling(world, count), drain(world, api, count)) for _ in range(RUNS)]
    rows = [("curl multi alone", [c for c, _ in pairs], "requests/s", "", [], ""),
            (f"drain {count:,} small messages", [d for _, d in pairs], "messages/s", "of curl alone", [d / c for c, d in pairs], ">= 0.65"),
            ("resident memory at full drain", [resident_mb(process)], "MB", "", [], "<= 64")]
    world.stop(process)
    return rows


def latency_rows(world, rate, seconds, connections, asked):
    found = [latency(world, rate, max(seconds, 2), connections) for _ in range(RUNS)]
    rows = [(f"insert to received at {rate:,}/s, {name}", [f[name + "_ms"] for f in found], "ms", "", [], limit) for name, limit in asked]
    return rows + [("of which the INSERT itself, median", [f["commit_ms"] for f in found], "ms", "", [], "")]


def latency_slow(world, scale):
    return latency_rows(world, 50, 10 * scale, 1, [("median", "<= 1.2"), ("p99", "<= 5")])


def latency_fast(world, scale):
    return latency_rows(world, 3000, 10 * scale, 8, [("median", "<= 3"), ("p99", "<= 25")])


def inserting(world, scale):
    """Everything shares the machine, so what is sent meanwhile takes its share of the cores: the trigger's own cost stands beside."""
    rows, seconds = [], max(int(5 * scale), 2)
    for clients in (1, 4, 16):
        plain, triggered, sending = [], [], []
        for _ in range(RUNS):
            world.sql("ALTER TABLE messages DISABLE TRIGGER messaging_insert")
            plain.append(inserts_per_second(world, clients, seconds))
            world.sql("""ALTER TABLE messages ENABLE TRIGGER messaging_insert;
                         SET messaging.session = 'engine';
                         UPDATE messages SET is_sent = true WHERE NOT is_sent""")  # or reconcile would find and send them
            triggered.append(inserts_per_second(world, clients, seconds))
            process, _ = world.serve()
            wait_for(lambda: world.sql("SELECT count(*) FROM messaging._queue") == "0", 300, "the drain")
            sending.append(inserts_per_second(world, clients, seconds))
            wait_for(lambda: world.sql("SELECT count(*) FROM messaging._queue") == "0", 300, "the drain")
            settle(world)
            world.stop(process)
        for what, found, asked in (("while all of it is sent", sending, ">= 0.8"), ("while the service is down", triggered, "")):
            rows.append((f"inserting, {clients} client{'s' * (clients > 1)}, {what}", found, "rows/s", "of a table without trigger",
                         [f / p for f, p in zip(found, plain)], asked))
    return rows


def fan_out(world, scale):
    """An event that ten endpoints get, beside one message, from the same client. Nothing is sent meanwhile."""
    world.sql("""INSERT INTO messaging.endpoints (name, url, event_types)
                 SELECT 'subscriber ' || g, 'http://subscriber.test/', '{invoice.*}' FROM generate_series(1, 10) g""")
    seconds = max(int(5 * scale), 2)
    event = "INSERT INTO messaging.events (type, data) VALUES ('invoice.paid', ('\"' || repeat('x', 62) || '\"')::json)"
    pairs = [(inserts_per_second(world, 1, seconds), inserts_per_second(world, 1, seconds, event)) for _ in range(RUNS)]
    return [("inserting one message", [m for m, _ in pairs], "transactions/s", "", [], ""),
            ("inserting an event for 10 endpoints", [e for _, e in pairs], "transactions/s", "what it costs, in messages", [m / e for m, e in pairs], "ratio <= 10")]


def with_archive(world, scale):
    count, sent, beside = scaled(100_000, scale), scaled(10_000_000, scale), world.beside()
    archive(beside, sent)
    process, api = world.serve()
    other, other_api = beside.serve()
    drain(world, api, 5000)
    drain(beside, other_api, 5000)
    pairs = [(drain(world, api, count), drain(beside, other_api, count)) for _ in range(RUNS)]
    rows = [(f"drain with {sent:,} sent rows beside it", [w for _, w in pairs], "messages/s", "of the drain without them", [w / n for n, w in pairs], ">= 0.95")]
    beside.switch(other_api, "stop")
    beside.reset()
    beside.insert(count)
    beside.switch(other_api, "start")
    took = {path: answer_ms(other_api + path, 300) for path in ("/messages", "/status")}
    wait_for(lambda: get(world.receiver + "/stats")["distinct"] >= count, 300, "the drain")
    for path, times in took.items():
        rows.append((f"GET {path} meanwhile, p99", [times[296]], "ms", "", [], "<= 20"))
    settle(beside)
    world.stop(process)
    world.stop(other)
    return rows


def held_snapshot(world, scale):
    """Two databases drain by turns; one of them has a snapshot open."""
    count, beside = scaled(1_000_000, scale), world.beside()
    services = [(each, *each.serve()) for each in (world, beside)]
    for each, _, api in services:
        drain(each, api, 5000)
        each.switch(api, "stop")
        each.insert(count + SLACK)
    holder = world.start(["psql", "-qX", beside.database, "-c", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM messaging.endpoints; SELECT pg_sleep(3600)"])
    pairs = [[portion(each, api, count // 10) for each, _, api in services] for _ in range(10)]
    world.stop(holder)
    for _, process, _ in services:
        world.stop(process)
    ratios = [held / free for free, held in pairs]
    return [(f"drain {count:,} while a snapshot is held", [held for _, held in pairs], "messages/s", "of the drain without", ratios, ">= 0.9"),
            (f"drain {count:,} while a snapshot is held, second half", [held for _, held in pairs[5:]], "messages/s", "of the drain without", ratios[5:], "flat")]


def backlog(world, scale):
    """The rate at the start and at the end, each beside that of a small backlog in another database."""
    count, beside = scaled(5_000_000, scale), world.beside()
    process, api = world.serve()
    other, other_api = beside.serve()
    drain(world, api, 5000)
    drain(beside, other_api, 5000)
    world.switch(api, "stop")
    world.insert(count + SLACK)
    part = count // 50
    pairs = lambda: [(portion(world, api, part), drain(beside, other_api, part)) for _ in range(RUNS)]
    start = pairs()
    middle = portion(world, api, count - 2 * RUNS * part)
    end = pairs()
    world.stop(process)
    world.stop(other)
    of_small = lambda found: statistics.median(large / small for large, small in found)
    return [(f"backlog of {count:,}, its first tenth", [large for large, _ in start], "messages/s", "of a small one", [of_small(start)], ""),
            (f"backlog of {count:,}, between", [middle], "messages/s", "", [], ""),
            (f"backlog of {count:,}, its last tenth", [large for large, _ in end], "messages/s", "of a small one", [of_small(end)], ""),
            (f"backlog of {count:,}, its last tenth", [], "", "of its first tenth, each beside a small one", [of_small(end) / of_small(start)], "within 5 %")]


def slow_receivers(world, scale):
    in_flight, seconds = 10_000, max(int(20 * scale), 6)
    slow = world.start_receiver("--delay", "1s")
    process, api = world.serve(webhook=slow + "/", MAX_IN_FLIGHT=str(in_flight), ENDPOINT_MAX_IN_FLIGHT=str(in_flight))
    world.switch(api, "stop")
    world.insert(in_flight * (seconds + 6))
    world.switch(api, "start")
    wait_for(lambda: get(slow + "/stats")["received"] > 4 * in_flight, 60, "the connections and the first waves")
    found = []
    for _ in range(RUNS):
        before, began = get(slow + "/stats")["received"], time.monotonic()
        time.sleep(seconds / RUNS)
        found.append((get(slow + "/stats")["received"] - before) / (time.monotonic() - began))
    memory = resident_mb(process)
    world.switch(api, "stop")
    world.stop(process)
    world.sql("TRUNCATE messages, messaging._queue, messaging._claim, messaging._schedule")
    return [("10,000 in flight, answers after 1 s", found, "messages/s", "", [], ">= 9,000"), ("resident memory with 10,000 in flight", [memory], "MB", "", [], "<= 300")]


def hundred_endpoints(world, scale):
    count, pairs = scaled(100_000, scale), []
    hanging = world.start_receiver("--hang")
    world.sql(f"INSERT INTO messaging.endpoints (name, url) SELECT 'bench ' || g, '{world.receiver}/' FROM generate_series(1, 100) g")
    spread = lambda count, size: world.sql(
        f"""INSERT INTO messages (recipient, content, endpoint_id) SELECT '+905551111111', repeat('x', {size}), e.id
            FROM generate_series(1, {count // 99}) g, (SELECT id FROM messaging.endpoints WHERE name LIKE 'bench %' AND name <> 'bench 1') e""")
    for _ in range(RUNS):
        pair = []
        for first in (world.receiver, hanging):
            world.sql(f"UPDATE messaging.endpoints SET url = '{first}/' WHERE name = 'bench 1'")
            process, api = world.serve()
            drain(world, api, 4950, insert=spread)
            world.switch(api, "stop")
            world.sql(f"INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', id FROM messaging.endpoints, generate_series(1, 500) WHERE name = 'bench 1' AND url LIKE '{hanging}%'")
            world.switch(api, "stop")
            world.reset()
            whole = count // 99 * 99
            spread(whole, 64)
            world.switch(api, "start")
            wait_for(lambda: get(world.receiver + "/stats")["distinct"] >= whole, 300, "the drain")
            stats = get(world.receiver + "/stats")
            pair.append(whole / (moment(stats["last_at"]) - moment(stats["first_at"])))
            process.kill()
            world.stop(process)
            world.sql("TRUNCATE messages, messaging._queue, messaging._claim, messaging._schedule")
        pairs.append(pair)
    world.sql("DELETE FROM messaging.endpoints WHERE name LIKE 'bench %'")
    return [("100 endpoints, one of them hanging", [h for _, h in pairs], "messages/s", "of 100 good ones", [h / g for g, h in pairs], ">= 0.97")]


def several(world, scale):
    count, found = scaled(100_000, scale), {"one engine": [], "two engines": [], "two processes": []}
    for _ in range(RUNS):
        for name, settings in (("one engine", [{}]), ("two engines", [{"ENGINES": "2"}]), ("two processes", [{}, {}])):
            services = [world.serve(**one) for one in settings]
            drain(world, services[0][1], 5000)
            found[name].append(drain(world, services[0][1], count))
            for process, _ in services:
                world.stop(process)
    one = found["one engine"]
    return [(name, found[name], "messages/s", "of one engine", [f / o for f, o in zip(found[name], one)], "no slower") for name in ("two engines", "two processes")]


def start_up(world, scale):
    found = []
    for _ in range(RUNS * 3):
        world.reset()
        world.insert(1)
        began = time.time()
        process, _ = world.serve(wait=False)
        wait_for(lambda: get(world.receiver + "/stats")["distinct"] >= 1, 60, "the delivery")
        found.append((moment(get(world.receiver + "/stats")["first_at"]) - began) * 1000)
        settle(world)
        world.stop(process)
    return [("start to first delivery", found, "ms", "", [], "<= 300")]


def http2(world, scale):
    """Over TLS, to one and the same server, which offers HTTP/2 or does not."""
    count, plain = scaled(50_000, scale), world.receiver
    rates_of, connections, spoken = {"http/1.1": [], "h2": []}, {"http/1.1": [], "h2": []}, {"http/1.1": set(), "h2": set()}
    again = {"http/1.1": [], "h2": []}
    for _ in range(RUNS):
        for offered, found in rates_of.items():
            receiver, webhook, world.receiver, trusted = world.start_tls_receiver(offered)
            process, api = world.serve(webhook=webhook, CA_CERTIFICATES=str(trusted), HTTP2="true")
            drain(world, api, 2000, once=False)
            found.append(drain(world, api, count, once=False))
            stats = get(world.receiver + "/stats")
            again[offered].append(stats["duplicates"])
            connections[offered].append(stats["connections_used"])
            spoken[offered] |= set(stats["versions"])
            world.stop(process)
            world.stop(receiver)
    world.receiver = plain
    said = {offered: "HTTP/" + " and ".join(sorted(versions)) for offered, versions in spoken.items()}
    rows = [(f"drain {count:,} over TLS, {said['http/1.1']}", rates_of["http/1.1"], "messages/s", "", [], ""),
            (f"drain {count:,} over TLS, {said['h2']} (h2 offered)", rates_of["h2"], "messages/s", "of HTTP/1.1",
             [two / one for one, two in zip(rates_of["http/1.1"], rates_of["h2"])], "")]
    rows += [(f"sent twice over TLS, {said[offered]}", found, "messages", "", [], "0") for offered, found in again.items()]
    return rows + [(f"connections used, {said[offered]}", used, "", "", [], "") for offered, used in connections.items()]


def cost(world, scale):
    """What a message costs, inserts included for the WAL only."""
    count = scaled(100_000, scale)
    process, api = world.serve()
    drain(world, api, 5000)
    world.switch(api, "stop")
    world.reset()
    wal = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
    world.sql("CHECKPOINT")
    before_insert = float(world.sql(wal))
    world.insert(count, 100)
    inserted = float(world.sql(wal))
    world.sql("SELECT pg_stat_statements_reset(); SELECT pg_stat_reset_single_table_counters('messages'::regclass)")
    cpu = {"the service": process.pid, "the receiver": world.receiver_process.pid, "PostgreSQL": world.postgres.pid, "Redis": world.redis.pid}
    before = {name: cpu_seconds(pid) for name, pid in cpu.items()}
    world.switch(api, "start")
    wait_for(lambda: get(world.receiver + "/stats")["distinct"] >= count, 300, "the drain")
    settle(world)
    rows = [(f"CPU of {name}", [(cpu_seconds(pid) - before[name]) * 1e6 / count], "us/message", "", [], "") for name, pid in cpu.items()]
    total = float(world.sql(wal))
    statements = world.sql(f"""SELECT round((total_exec_time * 1000 / {count})::numeric, 2) || ' ' || calls || ' ' || left(regexp_replace(query, '\\s+', ' ', 'g'), 60)
                               FROM pg_stat_statements WHERE total_exec_time * 1000 / {count} > 0.05 ORDER BY total_exec_time DESC""").splitlines()
    world.stop(process)  # which flushes its sessions' statistics
    time.sleep(1)
    updated, hot = (int(n) for n in world.sql("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'messages'").split("|"))
    rows += [("WAL, contents of 100 bytes", [(total - before_insert) / count], "bytes/message", "the insert's share", [(inserted - before_insert) / (total - before_insert)], "<= 1,200"),
             ("HOT share of mark-sent", [hot / max(updated, 1)], "", "", [], ">= 0.98")]
    for line in statements:
        micros, calls, text = line.split(" ", 2)
        rows.append((f"statement: {re.sub('[|]', ' ', text)}", [float(micros)], "us/message", "", [], f"{calls} calls"))
    return rows


ALL = {"drain": drain_small, "latency": latency_slow, "latency-3000": latency_fast, "inserting": inserting, "fan-out": fan_out, "archive": with_archive, "snapshot": held_snapshot,
       "backlog": backlog, "slow-receivers": slow_receivers, "endpoints": hundred_endpoints, **fairness.ALL, "several": several, "start": start_up, "http2": http2, "cost": cost}
# These need 60 GB of disk and the better part of an hour at full size: they run only when they are named.
LARGE = {"partitions": partitions.measure, "reconcile": reconcile.measure}
