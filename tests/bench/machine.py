# SPDX-License-Identifier: MIT
"""machine: what processes cost: CPU and memory of a whole tree, and what everybody else took meanwhile."""
import os
import pathlib
import platform
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """(parent, CPU seconds with those of children that were waited for), None where the process is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), sum(map(int, fields[11:15])) / TICK


def tree(root):
    """{pid: CPU seconds} of a process and all below it."""
    children, cpu = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(name)):
            children.setdefault(stat[0], []).append(int(name))
            cpu[int(name)] = stat[1]
    found, todo = {}, [root]
    while todo:
        pid = todo.pop()
        if pid in cpu:
            found[pid] = cpu[pid]
        todo += children.get(pid, [])
    return found


def children(root):
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and (stat := _stat(name)) and stat[0] == root]


def cpu_s(root):
    return sum(tree(root).values())


def _written(pid):
    """Bytes that a process, and those below it that it has waited for, made the page cache owe the disk. Journals of the file system are not in it."""
    try:
        lines = dict(line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())
    except OSError:
        return 0
    return int(lines["write_bytes"]) - int(lines["cancelled_write_bytes"])


class Account:
    """CPU seconds and bytes written of a server: of its control group where there is one (no process escapes it), else of its tree."""

    def __init__(self, name, root):
        self.root, self.folder = root, None
        try:
            mount = next(line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2")
            own = next(line.strip()[3:] for line in open("/proc/self/cgroup") if line.startswith("0::"))
            folder = pathlib.Path(mount + own) / f"tidegate-bench-{name}-{root}"
            folder.mkdir()
            self.folder = folder
            for pid in tree(root):
                (folder / "cgroup.procs").write_text(str(pid))
        except (OSError, StopIteration):
            self.close()

    def cpu_s(self):
        if not self.folder:
            return cpu_s(self.root)
        return int((self.folder / "cpu.stat").read_text().split()[1]) / 1e6

    def written(self):
        """Bytes written to files that belong on a disk. What a process wrote that nobody waited for is lost with it."""
        pids = map(int, (self.folder / "cgroup.procs").read_text().split()) if self.folder else tree(self.root)
        return sum(map(_written, pids))

    def close(self):
        for _ in range(20 if self.folder else 0):
            try:
                self.folder.rmdir()
                break
            except OSError:
                time.sleep(0.1)  # somebody of it is still ending
        self.folder = None


def memory(roots):
    """(sum of RSS, PSS) in bytes of these processes and all below them. PSS counts a shared page once among all who share it."""
    rss = pss = 0
    for pid in {pid for root in roots for pid in tree(root)}:
        try:
            for line in open(f"/proc/{pid}/smaps_rollup"):
                if line.startswith("Rss:"):
                    rss += int(line.split()[1]) * 1024
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1]) * 1024
        except OSError:
            pass  # it ended
    return rss, pss


class Peak:
    """Looks at the memory of trees of processes now and then while a run goes on."""

    def __init__(self, roots, every=0.5):
        self.roots, self.rss, self.pss, self.stop = roots, 0, 0, threading.Event()
        self.thread = threading.Thread(target=self._look, args=(every,), daemon=True)

    def _look(self, every):
        while not self.stop.wait(every):
            self.sample()

    def sample(self):
        rss, pss = memory(self.roots)
        self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.sample()


class Others:
    """How much of the machine went to neither us nor idling while a run went on: what makes figures doubtful."""

    def __enter__(self):
        self.before, self.began = self._read(), time.monotonic()
        return self

    def __exit__(self, *_):
        self.after, self.seconds = self._read(), time.monotonic() - self.began

    @staticmethod
    def _read():
        fields = list(map(int, open("/proc/stat").readline().split()[1:]))
        idle, steal = fields[3] + fields[4], fields[7]
        return sum(fields[:8]), idle, steal

    def share(self, ours_s):
        total, idle, steal = (b - a for a, b in zip(self.before, self.after))
        total = max(total, 1)
        return {"others": max(0.0, (total - idle - steal) / total - ours_s * TICK / total), "stolen": steal / total}


def describe():
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory_kib = int(open("/proc/meminfo").readline().split()[1])
    return {"cpus": os.cpu_count(), "model": model[0] if model else platform.machine(), "memory_gib": round(memory_kib / 2**20, 1),
            "kernel": platform.release()}
