"""The single measurements that scenarios are made of. A drain's rate is taken from the receiver's own first and last moment."""
import calendar, json, os, pathlib, re, subprocess, time, urllib.request

from world import free_port, get, wait_for

RUNS = 5  # of each measurement; a figure is their median
A_DAY = 86_400  # seconds
TICK = os.sysconf("SC_CLK_TCK")


def scaled(number, scale):
    return max(int(number * scale), 1000)


def ceiling(world, requests, in_flight=64):
    """Requests per second of curl multi alone."""
    return float(world.run([world.build / "bench_ceiling", world.receiver + "/", str(requests), str(in_flight)]))


def moment(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + text[19:-1])


def settle(world):
    wait_for(lambda: world.sql("SELECT count(*) FROM messaging._claim") == "0", 120, "the records")


def drain(world, api, count, size=64, insert=None, once=True, alone=True):
    """Messages per second, from the first to the last that the receiver got; all were in the table before. `once`: none may come twice.
    `alone`: there are no other messages, so nothing is claimed at the end."""
    world.switch(api, "stop")
    world.reset()
    (insert or world.insert)(count, size)
    world.switch(api, "start")
    wait_for(lambda: get(world.receiver + "/stats")["distinct"] >= count, 1200, f"{count} messages")
    stats = get(world.receiver + "/stats")
    assert stats["duplicates"] == 0 or not once, stats
    if alone:
        settle(world)
    return count / (moment(stats["last_at"]) - moment(stats["first_at"]))


def portion(world, api, count):
    """Messages per second of the next `count` of what is queued already; a few more are sent until the stop is heard."""
    world.reset()
    world.switch(api, "start")
    wait_for(lambda: get(world.receiver + "/stats")["distinct"] >= count, 1200, f"{count} messages")
    stats = get(world.receiver + "/stats")
    world.switch(api, "stop")
    settle(world)
    return stats["distinct"] / (moment(stats["last_at"]) - moment(stats["first_at"]))


def latency(world, rate, seconds, connections, start=None, statement=()):
    """Milliseconds from the INSERT until the receiver has read the request; start(url) begins whoever is measured."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    process = start(url) if start else world.serve(webhook=url)[0]
    try:
        return insert_to_received(world, port, rate, seconds, connections, *statement)
    finally:
        world.stop(process)


def insert_to_received(world, port, rate, seconds, connections, *statement_and_warm_up):
    """As latency(), with whoever is measured already sending to the port."""
    return json.loads(world.run([world.build / "bench_latency", port, world.database, rate, seconds, connections, *statement_and_warm_up]))


def instructions_per_message(world, count=2000):
    """Counted by callgrind from the start of sending to its end: a figure that noise does not move."""
    profile = world.directory / "callgrind"
    world.sql("UPDATE messaging._state SET state = 'stopped'")
    process, api = world.serve(wrapper=["valgrind", "--tool=callgrind", "--callgrind-out-file=" + str(profile), "--instr-atstart=no"])
    world.reset()
    world.insert(count)
    control = lambda word: subprocess.run(["callgrind_control", f"--instr={word}", str(process.pid)], check=True, capture_output=True)
    control("on")
    world.switch(api, "start")
    wait_for(lambda: get(world.receiver + "/stats")["distinct"] >= count, 120, "the profiled messages")
    settle(world)
    control("off")
    world.stop(process)
    return int(re.search(r"^totals: (\d+)", profile.read_text(), re.M).group(1)) / count


def resident_mb(process):
    """The largest so far."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text()).group(1)) / 1024


def cpu_seconds(pid):
    """Of a process and all of its children, the ended ones included."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICK + sum(cpu_seconds(child) for child in children)


def answer_ms(url, times):
    """How long each of so many requests took."""
    took = []
    for _ in range(times):
        began = time.monotonic()
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()
        took.append((time.monotonic() - began) * 1000)
    return sorted(took)


ONE_MESSAGE = "INSERT INTO messages (recipient, content) VALUES ('+905551111111', repeat('x', 64))"


def pgbench(world, statement, clients, seconds, *options):
    """The command: one statement a transaction."""
    script = world.directory / "insert.sql"
    script.write_text(statement + ";\n")
    return [f"{world.binaries}/pgbench", "-n", "-M", "prepared", "-c", clients, "-j", "1", "-T", seconds, "-f", script, *options, world.database]


def inserts_per_second(world, clients, seconds, statement=ONE_MESSAGE):
    return float(re.search(r"tps = ([\d.]+)", world.run(pgbench(world, statement, clients, seconds))).group(1))


def start_inserts(world, statement, rate, clients):
    """So many transactions a second, until the process is stopped."""
    return world.start(pgbench(world, statement, clients, A_DAY, "-R", rate))
