# SPDX-License-Identifier: MIT
"""report: what the bench found, as a table with ratios, as JSON and as a chart."""
import json
from statistics import median

BASE = "postfix"
COLORS = {"tidegate": "#0b6e75", "postfix": "#b5651d", "postfix-tuned": "#d9a066", "opensmtpd": "#7a6a9c", "exim": "#8a8f45", "haraka": "#a04a60"}


def brief(found):
    text = f"{found['rate']:7.0f}/s"
    if "cpu_ms" in found:
        text += f"  {found['cpu_ms']:6.3f} ms CPU  {found['peak_pss'] / 2**20:6.1f} MiB  {found['written_bytes'] / 1024:5.1f} KiB written"
    reply = found["reply_us"]
    text += f"  250 after {reply['p50'] / 1000:.2f} ms, p99 {reply['p99'] / 1000:.1f}"
    for key in ("missing", "duplicates", "refused", "lost", "unsigned"):
        if found.get(key):
            text += f"  {key.upper()} {found[key]}"
    return text + (f"  (others {found['others']:.0%})" if found["others"] > 0.05 else "")


def middle(runs, key):
    values = [run[key] for run in runs if key in run]
    return median(values) if values else None


def reply_ms(runs, share):
    return median(run["reply_us"][share] for run in runs) / 1000


def transit_ms(case, runs):
    """From the client's first byte of a message to the last at the peer's; of those that came within the time."""
    return "" if case.get("hold") else f"{median(run['transit_us']['p50'] for run in runs) / 1000:.1f}"


def faults(results):
    found = []
    for case, subjects in results.items():
        for who, runs in subjects.items():
            for key in ("missing", "duplicates", "lost", "unsigned"):
                total = sum(run.get(key, 0) for run in runs)
                if total and not (key == "duplicates" and who == "ceiling"):
                    found.append(f"{who}: {case}: {total} {key}")
    return found


def ratio(value, base):
    return f" ×{value / base:.2f}" if value and base else ""


def arrived(case, runs):
    """Where the figure is how much came within the time: its share."""
    share = sum(run["tokens"] for run in runs) / max(sum(run["accepted"] for run in runs), 1)
    return f", {share:.0%} in time" if case.get("apart") else ""


def rows(facts, results):
    for name, case in facts["cases"].items():
        found = results.get(name, {})
        base = found.get(BASE)
        for who, runs in found.items():
            if not runs:
                yield (case["title"], who, "cannot", *[""] * 7)
                continue
            rate, cpu, pss = middle(runs, "rate"), middle(runs, "cpu_ms"), middle(runs, "peak_pss")
            written = middle(runs, "written_bytes")
            known = base if base and who not in (BASE, "ceiling") else None
            low, high = min(run["rate"] for run in runs), max(run["rate"] for run in runs)
            spread = f" ({low:.0f}–{high:.0f})" if len(runs) > 1 else ""
            yield (case["title"], who, f"{rate:.0f}{spread}" + (ratio(rate, middle(known, "rate")) if known else "") + arrived(case, runs),
                   f"{cpu:.3f}" + (ratio(cpu, middle(known, "cpu_ms")) if known else "") if cpu is not None else "",
                   f"{pss / 2**20:.0f}" if pss else "", f"{written / 1024:.1f}" if written is not None else "",
                   f"{reply_ms(runs, 'p50'):.2f}", f"{reply_ms(runs, 'p99'):.1f}", transit_ms(case, runs), f"{max(run['others'] for run in runs):.0%}")


# The design's budgets (section 14): the case, the figure, the least ratio to the same figure of BASE; below 1: the most.
BUDGETS = (("relay-1", "rate", 3), ("relay-20", "rate", 10), ("relay-20", "cpu_ms", 1 / 15), ("relay-20-50k", "rate", 7), ("relay-20-sign", "rate", 5),
           ("accept-100", "rate", 12))


def budgets(facts, results):
    """(words, found, wanted, kept) of those whose cases were run."""
    for name, key, wanted in BUDGETS:
        ours, base = results.get(name, {}).get("tidegate"), results.get(name, {}).get(BASE)
        if ours and base:
            found = middle(ours, key) / middle(base, key)
            words = f"{facts['cases'][name]['title']}: {'messages a second' if key == 'rate' else 'CPU a message'}"
            yield (words, f"×{found:.2f}" if wanted > 1 else f"1/{1 / found:.1f}", f"×{wanted}" if wanted > 1 else f"1/{1 / wanted:.0f}",
                   found >= wanted if wanted > 1 else found <= wanted)
    if facts.get("group_of_one_us") and (ours := results.get("accept-1", {}).get("tidegate")):
        found = reply_ms(ours, "p50") * 1000 / facts["group_of_one_us"]
        yield (f"end of data to 250, one client, to a lone group of the store ({facts['group_of_one_us'] / 1000:.2f} ms)", f"×{found:.2f}", "×1.5", found <= 1.5)


def said(facts):
    """What stands above the table."""
    machine = facts["machine"]
    yield (f"{machine['cpus']} processors, {machine['memory_gib']:.0f} GiB, kernel {machine['kernel']}; {facts['rounds']} rounds of "
           f"{facts['seconds']} s, medians (least–most), × the figure of {BASE}. Load, sink and server share the processors; \"ceiling\" is "
           "the generator straight into the sink.")
    yield "; ".join(f"{name} {version}" + (f" ({facts['notes'][name]})" if name in facts["notes"] else "")
                    for name, version in facts["versions"].items()) + "."
    for name, reason in facts["missing"].items():
        yield f"Without {name}: {reason}."


def table(facts, results):
    head = ("case", "server", "messages/s", "CPU ms a message", "peak PSS, MiB", "KiB written a message", "end of data to 250, ms: p50", "p99",
            "client to peer, ms: p50", "others' CPU")
    lines = [line for text in said(facts) for line in (text, "")]
    if held := list(budgets(facts, results)):
        lines += [f"| budget, beside {BASE} | found | wanted | kept |", "|---|---:|---:|---|"]
        lines += [f"| {words} | {found} | {wanted} | {'yes' if kept else '**no**'} |" for words, found, wanted, kept in held] + [""]
    lines += ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    lines += ["| " + " | ".join(row) + " |" for row in rows(facts, results)]
    return "\n".join(lines + [""])


def bar(x, y, width, color, text):
    return (f'<rect x="{x}" y="{y}" width="{max(width, 1):.1f}" height="13" fill="{color}"/>'
            f'<text x="{x + max(width, 1) + 6:.1f}" y="{y + 11}">{text}</text>')


def chart(facts, results):
    """Bars of messages a second, each case to its own scale; the CPU of a message beside them."""
    parts, y, left, room = [], 34, 130, 330
    for name, case in facts["cases"].items():
        subjects = {who: runs for who, runs in results.get(name, {}).items() if who != "ceiling" and runs}
        if not subjects:
            continue
        most = max(middle(runs, "rate") for runs in subjects.values())
        dearest = max(middle(runs, "cpu_ms") for runs in subjects.values())
        parts.append(f'<text x="10" y="{y + 10}" font-weight="bold">{case["title"]}</text>')
        y += 18
        for who, runs in subjects.items():
            rate, cpu, color = middle(runs, "rate"), middle(runs, "cpu_ms"), COLORS.get(who, "#777777")
            parts.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{who}</text>')
            parts.append(bar(left, y, room * rate / most, color, f"{rate:.0f}"))
            parts.append(bar(left + room + 90, y, 150 * cpu / dearest, color, f"{cpu:.2f}"))
            y += 16
        y += 12
    width = left + room + 90 + 150 + 70
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif" font-size="12" fill="#222222">'
            f'<rect width="{width}" height="{y}" fill="#ffffff"/>'
            f'<text x="{left}" y="18" font-weight="bold">messages a second</text>'
            f'<text x="{left + room + 90}" y="18" font-weight="bold">ms of CPU a message</text>' + "\n".join(parts) + "</svg>\n")


def save(facts, results, folder):
    folder.mkdir(parents=True, exist_ok=True)
    name = facts["versions"].get("tidegate", "").split()[-1] or "now"
    text = table(facts, results)
    (folder / f"{name}.json").write_text(json.dumps({"facts": facts, "results": results}, indent=1) + "\n")
    (folder / f"{name}.md").write_text(f"# Tidegate {name} beside its peers\n\n{text}\n![chart]({name}.svg)\n")
    (folder / f"{name}.svg").write_text(chart(facts, results))
    return text + f"\nkept in {folder}/{name}.json, .md, .svg"
