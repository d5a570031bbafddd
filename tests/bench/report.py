"""Keeps what was measured (.local/bench.json), prints it, and writes RESULTS.md, its plot and the table of docs/performance.md."""
import datetime, json, os, pathlib, platform, re, statistics, subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEPT = ROOT / ".local" / "bench.json"


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def misses(asked, median, ratio):
    """Whether a figure misses its target. "<=" and a bare number ask it of the median, "ratio <=" of the ratio, the others of the ratio
    where there is one."""
    bound = float(found.group().replace(",", "")) if (found := re.search(r"[\d,.]+", asked)) else 0
    value = median if ratio is None else ratio
    if asked.startswith("<="):
        return median > bound
    if asked.startswith("ratio <="):
        return ratio > bound
    if asked.startswith(">="):
        return value < bound
    if asked.startswith("within"):
        return abs(value - 1) > bound / 100
    if asked in ("flat", "no slower"):
        return value < (0.95 if asked == "flat" else 1)
    return asked.isdigit() and median != bound


def cells(row, scale):
    what, samples, unit, base, ratios, asked = row
    spread = f"{number(min(samples))} to {number(max(samples))}" if len(samples) > 1 else ""
    median, ratio = (statistics.median(values) if values else None for values in (samples, ratios))
    missed = ", **missed**" if scale == 1 and misses(asked, median, ratio) else ""
    return [what, f"{number(median)} {unit}".strip() if samples else "", spread, f"{ratio:.2f} {base}" if ratios else "", asked + missed]


def show(rows, scale):
    table = [cells(row, scale) for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(5)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip(), flush=True)


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "not here"


def machine(build):
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) / 2**20
    return {"machine": f"{os.cpu_count()} cores ({cpu.group(1) if cpu else platform.machine()}), {memory:.0f} GiB, Linux {platform.release()}",
            "revision": first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty"), "PostgreSQL": first_line("pg_config", "--version"),
            "Redis": first_line("redis-server", "--version").split(" sha")[0], "libcurl": first_line("curl-config", "--version"),
            "Node.js": first_line("node", "--version")}


def cpu_ticks():
    """Of all cores since the start of the machine: (all, stolen). What is stolen, a virtual machine's host gave to others."""
    ticks = [int(field) for field in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks), ticks[7]


def stolen_since(before):
    now = cpu_ticks()
    return (now[1] - before[1]) / max(now[0] - before[0], 1)


def keep(build, name, scale, rows, stolen):
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if name in kept and kept[name]["scale"] > scale:
        print(f"{name}: the report keeps the run of {kept[name]['at']}, which was larger")
        return
    kept[name] = {"scale": scale, "at": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "rows": rows, "machine": machine(build), "stolen": stolen}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(kept))


def plot(rows):
    """Bars of the peers' drain and latency, ours first: an SVG without scripts."""
    drains = [(what.split(": ")[0], statistics.median(samples)) for what, samples, unit, *_ in rows if unit == "messages/s"]
    delays = [(what.split(": ")[0], statistics.median(samples)) for what, samples, unit, *_ in rows if unit == "ms" and "median" in what]
    parts, y = [], 30
    for title, bars, unit in (("Drain, messages a second (more is better)", drains, "/s"), ("Insert to received, median (less is better)", delays, " ms")):
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{title}</text>')
        largest = max(value for _, value in bars)
        for i, (name, value) in enumerate(bars):
            y += 28
            width = max(value / largest * 420, 1)
            parts.append(f'<text x="10" y="{y + 4}">{name}</text><rect x="150" y="{y - 10}" width="{width:.0f}" height="18" fill="{"#2563eb" if i == 0 else "#94a3b8"}"/>'
                         f'<text x="{155 + width:.0f}" y="{y + 4}">{number(value)}{unit}</text>')
        y += 48
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="700" height="{y - 20}" font-family="sans-serif" font-size="14">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')


def table(rows, scale):
    return ["| what | median | spread | ratio | asked for |", "|---|---|---|---|---|"] + ["| " + " | ".join(cells(row, scale)) + " |" for row in rows]


def sections_of(results):
    """What RESULTS.md has: the machine of its head, and each scenario's section. Where the machine is another one, sections name theirs."""
    head, *parts = results.split("\n## ")
    return re.findall(r"^- .*", head, re.M), {part.split(" ", 1)[0]: part for part in parts}


def with_machine(section, lines):
    heading, rest = section.split("\n\n", 1)
    return section if rest.startswith("- ") else "\n\n".join([heading, "\n".join(lines), rest])


def section(name, part, newest):
    size = "" if part["scale"] == 1 else f", sizes x {part['scale']:g}"
    size += f", {part['stolen']:.0%} of the cores stolen" if "stolen" in part else ""
    others = [f"- {what}: {text}" for what, text in part["machine"].items() if what != "revision" and text != newest[what]]
    return "\n".join([f"{name} ({part['at']}, {part['machine']['revision']}{size})", ""] + others + [""] * bool(others) + table(part["rows"], part["scale"]))


def asked_rows(section):
    """The rows of a section that something is asked of."""
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [row for row in rows if (asked := row.strip("| ").rsplit(" | ", 1)[-1] if not row.endswith("|  |") else "") and not asked.endswith("calls")]


def write_between(page, marker, lines):
    before, rest = page.split(f"<!-- {marker}:begin -->\n")
    _, after = rest.split(f"<!-- {marker}:end -->")
    return before + f"<!-- {marker}:begin -->\n" + "\n".join(lines) + f"\n<!-- {marker}:end -->" + after


def write_performance(sections, fairness):
    """What a figure is asked of, between the markers of docs/performance.md. Of fairness also the trials, with their size."""
    head = table([], 1)
    path = ROOT / "docs" / "performance.md"
    page = path.read_text()
    full = [row for name, text in sections.items() if name not in fairness and "sizes x" not in text.splitlines()[0] for row in asked_rows(text)]
    page = write_between(page, "speed", head + full)
    found = [text for name, text in sections.items() if name in fairness]
    page = write_between(page, "fairness", [f"Runs: {'; '.join(text.splitlines()[0] for text in found)}.", ""] + head + [row for text in found for row in asked_rows(text)])
    path.write_text(page)


def write(order, fairness):
    """From what was measured on this machine (.local/bench.json) and, for other scenarios, from what RESULTS.md has."""
    found = json.loads(KEPT.read_text())
    newest = max(found.values(), key=lambda part: part["at"])["machine"]
    machine_lines = [f"- {name}: {text}" for name, text in newest.items() if name != "revision"]
    former_machine, sections = sections_of((HERE / "RESULTS.md").read_text())
    if former_machine != machine_lines:
        sections = {name: with_machine(text, former_machine) for name, text in sections.items()}
    sections |= {name: section(name, part, newest) for name, part in found.items()}
    sections = {name: sections[name].rstrip("\n") for name in order if name in sections}
    lines = ["# Results", "", "Written by `scripts/bench report` from runs of `make bench` and `make bench-peers`; everything ran on one machine, which it shares with the",
             "receiver, PostgreSQL (fsync on) and Redis (receipts on). A ratio is the median of pairs measured one right after the other. Sizes below 1 are a",
             "trial: what is asked for is asked at full size, on a machine that does nothing else, and a figure that misses it is marked. Stolen is what the host of a virtual machine gave to its other",
             "guests meanwhile. Sections without a machine of their own are from this one:", "", *machine_lines]
    if "peers" in found:
        (HERE / "peers.svg").write_text(plot(found["peers"]["rows"]))
        sections["peers"] += "\n\n![drain and latency beside the peers](peers.svg)"
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "".join(f"\n\n## {text}" for text in sections.values()) + "\n")
    write_performance(sections, fairness)
    print(f"wrote {HERE / 'RESULTS.md'} and the tables of docs/performance.md")
