#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""differential: the same odd dialogues to Tidegate and to Postfix; every difference has its reason in table.py.

    tests/differential/differential.py --count 5000 --seed 7

Compared are the classes of all replies (2, 3, 4, 5, closed, silent), and what was stored of what was accepted. Exits with 1 where a
difference has no reason, or a reason no difference any more. Postfix runs with its defaults, but does not sleep on errors.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import pathlib
import re
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import dialogues  # noqa: E402
import table  # noqa: E402
from lab import ground, mail, policies  # noqa: E402
from lab.certificates import Authority  # noqa: E402
from lab.gateway import Gateway  # noqa: E402
from lab.mta import Postfix  # noqa: E402

HEAD = """# Where Tidegate and Postfix answer differently

Made by `tests/differential/differential.py --count {count} --seed {seed} --output FILE`; the reasons are in [table.py](table.py), the dialogues in
[dialogues.py](dialogues.py). Two dialogues differ when the class of a reply does, or what was stored.

"""

SILENCE_S = 1.0  # a server that says nothing for so long waits for more


class Talk:
    """One dialogue with one server: the codes of its replies, "closed" where it hung up, "silent" where it waits for more."""

    def __init__(self, address, dialogue):
        self.input, self.codes = b"", []
        try:
            with socket.create_connection(address, 10) as self.socket:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.socket.settimeout(SILENCE_S * ground.PATIENCE)
                self.read(1)
                for data, replies in dialogue.steps:
                    if not self.say(data, replies):
                        break
        except OSError:
            self.codes.append("closed")

    def say(self, data, replies):
        # In pieces, reading in between: a server that answers much while we write must not stop both.
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # what it said before it hung up is still to be read
        return self.read(replies)

    def read(self, replies):
        for _ in range(replies):
            code = self.reply()
            self.codes.append(code)
            if code in ("closed", "silent"):
                return code == "silent"
        return True

    def reply(self):
        while True:
            found = re.match(rb"(?:\d{3}-[^\n]*\n)*(\d{3})(?: [^\n]*)?\r?\n", self.input)
            if found:
                self.input = self.input[found.end():]
                return found.group(1).decode()
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return "silent"
            except OSError:
                return "closed"
            if not data:
                return "closed"
            self.input += data


def kind(code):
    return code[0] if code.isdigit() else code


def compare(ours, theirs):
    """None, or the first difference: (ours, theirs), with "-" where one had no more to say."""
    for i in range(max(len(ours), len(theirs))):
        a, b = ours[i] if i < len(ours) else "-", theirs[i] if i < len(theirs) else "-"
        if kind(a) != kind(b):
            return a, b
    return None


def reasons_for(feature, ours, theirs):
    return [row for row in table.ROWS if fnmatch.fnmatchcase(feature, row.feature) and fnmatch.fnmatchcase(ours, row.ours) and fnmatch.fnmatchcase(theirs, row.theirs)]


class Run:
    def __init__(self, gateway, postfix):
        self.gateway, self.postfix = gateway, postfix
        self.differences = collections.defaultdict(list)  # (feature, ours, theirs) -> dialogues
        self.accepted = []                                # by both, with their tokens

    def one(self, dialogue):
        ours = Talk((self.gateway.host, self.gateway.RELAY), dialogue).codes
        theirs = Talk((self.postfix.at["calm"], self.postfix.port), dialogue).codes
        found = compare(ours, theirs)
        if found:
            self.differences[(dialogue.feature, *found)].append(dialogue)
        elif dialogue.word and "354" in ours + ["354"] and ours[-2:-1] == ["250"]:
            self.accepted.append(dialogue)
        return found

    def all(self, made, quiet=False):
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for i, _ in enumerate(pool.map(self.one, made), 1):
                if not quiet and (i % 100 == 0 or i == len(made)):
                    print(f"\r{i} of {len(made)} dialogues, {time.monotonic() - began:.0f} s", end="", file=sys.stderr, flush=True)
        if not quiet:
            print(file=sys.stderr)

    def stored(self):
        """What both accepted must have arrived alike: bodies as bytes. Yields (feature, word, ours, theirs) where not."""
        self.gateway.until_empty(60)
        kept = {}
        for side, folder in (("ours", self.gateway.captured.all()), ("theirs", self.postfix.inbox.all())):
            for message in folder:
                for word in re.findall(rb"\bt\d+x\d+r\d+d\d+(?:a|b|smuggled)?\b", message.raw):
                    kept.setdefault((word.decode(), side), message)
        for d in self.accepted:
            for word in (d.word, d.word + "a", d.word + "b"):
                ours, theirs = kept.get((word, "ours")), kept.get((word, "theirs"))
                if (ours is None) != (theirs is None) or (ours and body_of(ours) != body_of(theirs)):
                    yield d.feature, word, ours and body_of(ours), theirs and body_of(theirs)
        for (word, side) in kept:
            if word.endswith("smuggled") and side == "ours":
                yield "smuggled", word, "stored", ""


def body_of(message):
    """Without the end: a message that is all header has a blank line with us and none with Postfix."""
    return message.raw.partition(b"\r\n\r\n")[2].rstrip(b"\r\n")


def report(run, unexplained, unused, bodies):
    lines = ["| what is odd | Tidegate | Postfix | times | why |", "|---|---|---|---|---|"]
    for (feature, ours, theirs), which in sorted(run.differences.items()):
        why = reasons_for(feature, ours, theirs)
        lines.append(f"| {feature} | {ours} | {theirs} | {len(which)} | {why[0].why if why else '**no reason known**'} |")
    lines += [f"| **{feature}** | | | | no reason known; for example {which[0].steps!r:.300} |" for (feature, *_), which in unexplained]
    lines += [f"| {row.feature} | {row.ours} | {row.theirs} | 0 | **no such difference any more** |" for row in unused]
    lines += [f"| stored: {feature} | {ours!r:.80} | {theirs!r:.80} | | **bodies differ** ({word}) |" for feature, word, ours, theirs in bodies]
    return "\n".join(lines)


def run(count, seed, output=None, quiet=False):
    authority = Authority()
    gateway = Gateway(policy=policies.capture(), virtual_clock=False, limits={"connections_per_address": 100})
    postfix = Postfix(authority)
    try:
        made = dialogues.make(seed, count, mail.token())
        it = Run(gateway, postfix)
        it.all(made, quiet)
        unexplained = [(k, v) for k, v in it.differences.items() if not reasons_for(*k)]
        used = {id(row) for k in it.differences for row in reasons_for(*k)}
        whole_round = len(made) >= len(dialogues.features())
        unused = [row for row in table.ROWS if id(row) not in used] if whole_round else []
        bodies = list(it.stored())
        text = report(it, unexplained, unused, bodies)
        if output:
            pathlib.Path(output).write_text(HEAD.format(count=len(made), seed=seed) + text + "\n")
        elif not quiet:
            print(text)
        print(f"{len(made)} dialogues of {len({d.feature for d in made})} kinds: {sum(map(len, it.differences.values()))} differ, in {len(it.differences)} ways; "
              f"{len(unexplained)} without a reason, {len(unused)} reasons without a difference; {len(it.accepted)} messages taken by both, {len(bodies)} stored differently")
        assert not unexplained and not unused and not bodies, text
    finally:
        gateway.stop()
        postfix.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="dialogues [5000]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", help="write the table there")
    arguments = parser.parse_args()
    try:
        run(arguments.count, arguments.seed, arguments.output)
    except AssertionError:
        return 1
    finally:
        ground.clean()


if __name__ == "__main__":
    sys.exit(main())
