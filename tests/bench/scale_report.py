# SPDX-License-Identifier: MIT
"""scale_report: what tests/bench/scale found, as tables, as JSON and as curves."""
import json
import math


def rows_of(found, part):
    return found["parts"].get(part, {}).get("rows", [])


def drains(found):
    """Those that came to their end: of the backlog, of the part."""
    parts = found["parts"]
    return [row for row in (parts.get("backlog", {}).get("drain"), parts.get("drain")) if row and "drained" in row]


def budgets(found):
    """What the design promises (section 14): words, the figure found, the most it may be. None where the part was not run."""
    rows = rows_of(found, "backlog")
    if len(rows) > 1 and rows[0]["waiting"] == 0:
        empty, full = rows[0], rows[-1]
        yield f"{full['waiting']} waiting: own memory above empty, MiB", own(full) - own(empty), 64
        yield f"{full['waiting']} waiting: start to the first 250, s", full["first_250_s"], 1
        yield f"{full['waiting']} waiting: mail taken, slower than empty by, %", 100 * (1 - full["accept_rate"] / empty["accept_rate"]), 20
    for drained in (row for row in drains(found) if "gib" in row):
        yield f"{drained['gib']:g} GiB drained: the longest commit, ms", drained["commit_ms_max"], 50
        kept = total(drained["after_restart"]["disk_mib"]) - drained["empty_mib"]
        yield f"{drained['gib']:g} GiB drained: disk kept, %", 100 * kept / max(total(drained["before"]["disk_mib"]) - drained["empty_mib"], 1), 5
    for row in rows_of(found, "idle"):
        yield f"{row['held']} idle connections{' under TLS' if row['tls'] else ''}: KiB each", row["kib_each"], 32 if row["tls"] else 6


def own(row):
    return row["memory_at_start"]["RssAnon"]


def total(sizes):
    return sum(sizes.values())


def faults(found):
    """What must not be, on any machine."""
    return [f"{row['missing']} missing, {row['duplicates']} twice" for row in (*drains(found), *rows_of(found, "lanes")) if row["missing"] or row["duplicates"]]


def brief(row):
    return ("{waiting:>9} waiting: first 250 {first_250_s:.3f} s after the start; taken {accept_rate:.0f}/s, relayed {relay_rate:.0f}/s at {cpu_ms:.3f} ms CPU; "
            "own memory {anon:.0f} MiB; disk {disk:.0f} MiB; verbs {verbs}").format(
                **row, anon=own(row), disk=total(row["disk_mib"]), verbs=", ".join(f"{verb} {s:.2f}" for verb, s in row["verbs_s"].items()))


def brief_drain(row):
    return ("drained {drained} of {waited} at {rate:.0f}/s, longest commit {commit_ms_max:.1f} ms; disk {was:.0f} -> {disk:.0f} MiB"
            .format(**row, was=total(row["before"]["disk_mib"]), disk=total(row["disk_mib"])))


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---:|" * len(head), *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def backlog_table(rows):
    verbs = list(dict.fromkeys(verb for row in rows for verb in row["verbs_s"]))
    head = ("waiting", "taken/s", "relayed/s", "CPU ms a message", "end of data to 250, ms: p50", "p99", "start to first 250, s", "stop, s", "own MiB at start",
            "resident MiB at start", "own MiB under load", "database MiB", "bodies MiB", "filled/s", "put off/s")
    yield from table(head, ((row["waiting"], f"{row['accept_rate']:.0f}", f"{row['relay_rate']:.0f}", f"{row['cpu_ms']:.3f}", f"{row['accept_us']['p50'] / 1000:.2f}",
                             f"{row['accept_us']['p99'] / 1000:.1f}", f"{row['first_250_s']:.3f}", f"{row['stop_s']:.2f}", f"{own(row):.0f}",
                             f"{row['memory_at_start']['VmRSS']:.0f}", f"{row['memory']['RssAnon']:.0f}", f"{row['disk_mib']['database']:.0f}",
                             f"{row['disk_mib']['bodies']:.0f}",
                             *((f"{row['filled']['taken_rate']:.0f}", f"{row['filled']['settled_rate']:.0f}") if row.get("filled") else ("", "")))
                            for row in rows))
    yield "Seconds of each queue verb:"
    yield ""
    yield from table(("waiting", *verbs), ((row["waiting"], *(f"{row['verbs_s'].get(verb, 0):.3f}" for verb in verbs)) for row in rows))


def drain_table(rows):
    head = ("waited", "GiB on disk", "delivered/s", "`retry --all`, s", "longest commit, ms", "database MiB after", "bodies MiB after", "given back after, s",
            "own MiB", "after a restart: database MiB", "bodies MiB", "missing", "twice")
    yield from table(head, ((row["waited"], f"{total(row['before']['disk_mib']) / 1024:.2f}", f"{row['rate']:.0f}", f"{row['retry_s']:.2f}",
                             f"{row['commit_ms_max']:.1f}", f"{row['disk_mib']['database']:.0f}", f"{row['disk_mib']['bodies']:.0f}",
                             f"{row['given_back_s']:.0f}", f"{row['memory']['RssAnon']:.0f}", f"{row['after_restart']['disk_mib']['database']:.0f}",
                             f"{row['after_restart']['disk_mib']['bodies']:.0f}", row["missing"], row["duplicates"]) for row in rows))


def text(found, name):
    machine = found["machine"]
    lines = [f"# Tidegate {found['version']} under a backlog, idle connections, lanes", "",
             f"{machine['cpus']} processors, {machine['memory_gib']:.0f} GiB, kernel {machine['kernel']}; {found['workers']} workers; each look is "
             f"{found['seconds']:g} s of load. Load, sink and gateway share the processors.", ""]
    lines += [f"Part {part} failed: {reason}\n" for part, reason in found["failed"].items()]
    lines += table(("budget", "found", "at most", "kept"), ((words, f"{value:.2f}", most, "yes" if value <= most else "**no**") for words, value, most in budgets(found)))
    if rows := rows_of(found, "backlog"):
        lines += ["## A backlog of 2 KiB messages", "", *backlog_table(rows), f"![curves]({name}.svg)", ""]
    if drained := drains(found):
        lines += ["## Drained", "", *drain_table(drained)]
    if idle := rows_of(found, "idle"):
        lines += ["## Idle connections", "", *table(("connections", "TLS", "held", "KiB each", "all open after, s", "`status`, s"), (
            (row["connections"], "yes" if row["tls"] else "no", row["held"], f"{row['kib_each']:.1f}", f"{row['opened_s']:.1f}", f"{row['status_s']:.2f}") for row in idle))]
    if lanes := rows_of(found, "lanes"):
        lines += ["## Lanes", "", *table(("lanes", "most at once", "messages", "messages/s", "CPU ms a message", "connections made", "own MiB more", "missing"), (
            (row["lanes"], row["lanes_at_once"], row["accepted"], f"{row['rate']:.0f}", f"{row['cpu_ms']:.3f}", row["connects"], f"{row['own_mib']:.0f}", row["missing"]) for row in lanes))]
    if workers := rows_of(found, "workers"):
        lines += ["## Workers", "", *table(("workers", "waiting", "taken/s", "relayed/s", "CPU ms a message", "own MiB"), (
            (row["workers"], row["waiting"], f"{row['accept_rate']:.0f}", f"{row['relay_rate']:.0f}", f"{row['cpu_ms']:.3f}", f"{row['memory']['RssAnon']:.0f}") for row in workers))]
    return "\n".join(lines)


def curve(points, x, y, width, height, title, unit):
    """One panel: how a figure goes with the backlog, whose axis is logarithmic with nought at its left end."""
    most = max(value for _, value in points) * 1.15 or 1
    far = max(math.log10(size) if size else 0 for size, _ in points) or 1
    def place(size, value):
        return x + width * (max(math.log10(size) - 2, 0.3) / (far - 2 if far > 2 else 1) if size else 0), y + height - height * value / most
    at = [place(*point) for point in points]
    parts = [f'<text x="{x}" y="{y - 10}" font-weight="bold">{title}</text>',
             f'<path d="M{x} {y}V{y + height}H{x + width}" fill="none" stroke="#888888"/>',
             '<polyline fill="none" stroke="#0b6e75" stroke-width="2" points="' + " ".join(f"{a:.1f},{b:.1f}" for a, b in at) + '"/>']
    for (a, b), (size, value) in zip(at, points):
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="#0b6e75"/><text x="{a:.1f}" y="{b - 7:.1f}" text-anchor="middle">{value:.4g}{unit}</text>'
                     f'<text x="{a:.1f}" y="{y + height + 16}" text-anchor="middle">{size:,}</text>')
    return "".join(parts)


def chart(rows):
    """Curves over the number of waiting messages."""
    panels = (("mail taken a second", "", lambda row: row["accept_rate"]), ("relayed a second", "", lambda row: row["relay_rate"]),
              ("own memory at start, MiB", "", own), ("start to the first 250, s", "", lambda row: row["first_250_s"]),
              ("disk, MiB", "", lambda row: total(row["disk_mib"])), ("queue list --limit 100, s", "", lambda row: row["verbs_s"]["list --limit 100"]))
    parts = [curve([(row["waiting"], take(row)) for row in rows], 50 + i % 2 * 420, 40 + i // 2 * 210, 340, 140, title, unit)
             for i, (title, unit, take) in enumerate(panels)]
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="880" height="660" font-family="sans-serif" font-size="12" fill="#222222">'
            '<rect width="880" height="660" fill="#ffffff"/>' + "\n".join(parts) + '<text x="440" y="650" text-anchor="middle">messages waiting</text></svg>\n')


def save(found, folder):
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{found['version']}-scale"
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / f"{name}.md").write_text(text(found, name))
    if rows := rows_of(found, "backlog"):
        (folder / f"{name}.svg").write_text(chart(rows))
    return text(found, name) + f"\nkept in {folder}/{name}.json, .md, .svg"
