"""graphile-worker and pg-boss beside ours: the same PostgreSQL, receiver and messages; runs take turns."""
import pathlib, subprocess

from measure import drain, latency, moment
from scenarios import RUNS, scaled
from world import World, get, wait_for

HERE = pathlib.Path(__file__).resolve().parent / "peers"
PAYLOAD = "json_build_object('to', '+905551111111', 'content', repeat('x', 64))"
GRAPHILE_ADD = "SELECT graphile_worker.add_job('deliver', json_build_object('to', $1::text, 'content', $2::text))"
BOSS_CHANNEL = "('pgboss_' || left(encode(sha224('pgboss'::bytea), 'hex'), 24))"
BOSS_ADD = f"""WITH job AS (INSERT INTO pgboss.job (name, data) VALUES ('deliver', json_build_object('to', $1::text, 'content', $2::text)) RETURNING id)
               SELECT pg_notify({BOSS_CHANNEL}, 'deliver') FROM job"""
GRAPHILE_FILL = f"""SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
    SELECT ('deliver', {PAYLOAD}, NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec FROM generate_series(1, %d)))"""
BOSS_FILL = f"INSERT INTO pgboss.job (name, data) SELECT 'deliver', {PAYLOAD} FROM generate_series(1, %d)"
PEERS = {  # their program, how many jobs and how a single one are added, and their table
    "graphile-worker": ("graphile-worker.js", GRAPHILE_FILL, GRAPHILE_ADD, "graphile_worker._private_jobs"),
    "pg-boss": ("pg-boss.js", BOSS_FILL, BOSS_ADD, "pgboss.job"),
}
WARM_UP = 5000
FASTER = "times as fast: this service (median of the pairs, not the quotient of the medians)"


def install():
    if not (HERE / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--ignore-scripts", "--silent"], cwd=HERE, check=True)


def work(world, script, url):
    return world.start(["node", HERE / script, "work", world.database, url])


def drain_peer(world, script, fill, table, count):
    """From the first to the last arrival of jobs that all come with one commit, their table vacuumed and analyzed, to a worker that is warm."""
    process = work(world, script, world.receiver + "/")
    for jobs in (WARM_UP, count):
        world.sql(f"VACUUM {table}")
        world.reset()
        world.sql(f"BEGIN; {fill % jobs}; ANALYZE {table}; COMMIT")
        wait_for(lambda: get(world.receiver + "/stats")["distinct"] >= jobs, 600, f"{jobs} jobs")
    stats = get(world.receiver + "/stats")
    world.stop(process)
    return count / (moment(stats["last_at"]) - moment(stats["first_at"]))


def measure(build, scale):
    install()
    world = World(build)
    try:
        for script, *_ in PEERS.values():
            world.run(["node", HERE / script, "setup", world.database])
        count = scaled(20_000, scale)
        drains, delays = {name: [] for name in ("ours", *PEERS)}, {name: [] for name in ("ours", *PEERS)}
        for _ in range(RUNS):
            process, api = world.serve()
            drain(world, api, WARM_UP)
            drains["ours"].append(drain(world, api, count))
            world.stop(process)
            delays["ours"].append(latency(world, 50, max(10 * scale, 2), 1)["median_ms"])
            for name, (script, fill, add, table) in PEERS.items():
                drains[name].append(drain_peer(world, script, fill, table, count))
                delays[name].append(latency(world, 50, max(10 * scale, 2), 1, start=lambda url: work(world, script, url), statement=[add])["median_ms"])
        asked = {"graphile-worker": ">= 2.5", "pg-boss": "", "ours": ""}
        rows = [(f"{name}: drain {count:,}", samples, "messages/s", FASTER if name != "ours" else "",
                 [o / s for o, s in zip(drains["ours"], samples)] if name != "ours" else [], asked[name]) for name, samples in drains.items()]
        asked["graphile-worker"] = ">= 3"
        return rows + [(f"{name}: insert to received at 50/s, median", samples, "ms", FASTER if name != "ours" else "",
                        [s / o for o, s in zip(delays["ours"], samples)] if name != "ours" else [], asked[name]) for name, samples in delays.items()]
    finally:
        world.end()
