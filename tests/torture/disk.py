# SPDX-License-Identifier: MIT
"""disk: what a power cut leaves of a folder, from the log that interpose.c wrote of it.

    log = Log(path)
    disk = Disk(log); disk.forward(cut); disk.write(target, chance, "sectors")

A file's content is what its last sync left, and of the writes and changes of size since then any part: none, all, a random half of them,
or of their 512-byte sectors. A folder's names are those of its last sync, and of the changes since then any part. So a disk that reorders
everything between two syncs, and tears every write, is among those tried; what no sync covered counts on nothing.
"""
import os
import pathlib
import struct

RECORD = struct.Struct("<BBHHHQQQ")
SECTOR = 512
MODES = ("nothing", "half", "sectors", "sectors", "all")


class Record:
    __slots__ = ("at", "kind", "file", "offset", "length", "name", "other", "data")


def whole_records(raw):
    """The records, each with where it ends; one that a kill has cut short at the end is left out."""
    at = 0
    while at + RECORD.size <= len(raw):
        r = Record()
        kind, _, name_len, other_len, _, r.file, r.offset, r.length = RECORD.unpack_from(raw, at)
        r.at, r.kind = at, chr(kind)
        at += RECORD.size
        end = at + name_len + other_len + (r.length if r.kind in "WK" else 0)
        if end > len(raw):
            return
        r.name, r.other = raw[at:at + name_len].decode(), raw[at + name_len:at + name_len + other_len].decode()
        r.data = raw[at + name_len + other_len:end] if r.kind in "WK" else None
        at = end
        yield r, end


def drop_torn_end(path):
    """After a kill: the next life of the process would write behind half a record."""
    path = pathlib.Path(path)
    ends = [end for _, end in whole_records(path.read_bytes())]
    os.truncate(path, ends[-1] if ends else 0)


class Log:
    def __init__(self, path):
        self.records, self.promises = [], {}
        for r, _ in whole_records(pathlib.Path(path).read_bytes()):
            if r.kind == "K":
                self.promises[r.data.decode()] = len(self.records)
            self.records.append(r)
        self.starts = [r.at for r in self.records]

    def count(self, kinds):
        return sum(r.kind in kinds for r in self.records)

    def compacted(self):
        """Segments that were not preallocated: those compaction makes."""
        laid_out = {r.file for r in self.records if r.kind == "A"}
        return sum(r.kind == "C" and r.name.endswith(".seg") and r.file not in laid_out for r in self.records)


class File:
    def __init__(self):
        self.content, self.pending = bytearray(), []

    def sync(self):
        for change in self.pending:
            apply(self.content, change)
        self.pending.clear()


class Folder:
    def __init__(self):
        self.names, self.pending = {}, []  # pending: (name, what it now is or None, the folder it came from and its name there)

    def sync(self):
        for name, node, source in self.pending:
            move(self, name, node, source)
        self.pending.clear()

    def find(self, name):
        for pending, node, _ in reversed(self.pending):
            if pending == name:
                return node
        return self.names.get(name)


def move(folder, name, node, source):
    if node is None:
        folder.names.pop(name, None)
        return
    folder.names[name] = node
    if source and source[0].names.get(source[1]) is node:
        del source[0].names[source[1]]


def apply(content, change):
    kind, offset, data = change[:3]
    if kind == "W":
        if offset > len(content):
            content.extend(bytes(offset - len(content)))
        content[offset:offset + len(data)] = data
    elif kind == "T":
        del content[offset:]
        content.extend(bytes(offset - len(content)))
    elif offset > len(content):
        content.extend(bytes(offset - len(content)))


def apply_sectors(content, change, chance):
    """Of a write, each sector or not; where it went beyond the end, the size may have become known and the bytes not."""
    kind, offset, data = change[:3]
    if kind != "W":
        if chance.random() < 0.5:
            apply(content, change)
        return
    at = 0
    while at < len(data):
        end = min(len(data), at + SECTOR - (offset + at) % SECTOR)
        fate = chance.random()
        if fate < 0.5:
            apply(content, ("W", offset + at, data[at:end]))
        elif fate < 0.6:
            apply(content, ("A", offset + end, None))
        at = end


class Disk:
    """`deaf`: syncs of files whose name ends like this, or of folders ("/"), do nothing: as if they had been forgotten in the program."""

    def __init__(self, log, deaf=()):
        self.log, self.deaf, self.at = log, tuple(deaf), 0
        self.root, self.by_number, self.name_of = Folder(), {}, {}

    def forward(self, cut):
        while self.at < cut:
            self.step(self.log.records[self.at])
            self.at += 1

    def where(self, path):
        *above, name = path.split("/")
        folder = self.root
        for part in above:
            folder = folder.find(part)
        return folder, name

    def step(self, r):
        if r.kind == "M" and not r.name:  # a start: the root's number
            self.by_number[r.file], self.name_of[r.file] = self.root, ""
        elif r.kind in "CM":
            folder, name = self.where(r.name)
            node = File() if r.kind == "C" else Folder()
            self.by_number[r.file], self.name_of[r.file] = node, r.name
            folder.pending.append((name, node, None))
        elif r.kind == "U":
            folder, name = self.where(r.name)
            folder.pending.append((name, None, None))
        elif r.kind in "RL":
            folder, name = self.where(r.name)
            to, to_name = self.where(r.other)
            node = folder.find(name)
            to.pending.append((to_name, node, (folder, name) if r.kind == "R" else None))
            if r.kind == "R" and folder is not to:
                folder.pending.append((name, None, None))
        elif r.kind == "S":
            if r.file in self.by_number and not self.is_deaf(r.file):
                self.by_number[r.file].sync()
        elif r.kind == "Y":
            file = self.by_number[r.file]
            file.pending[-1] = file.pending[-1][:3] + (not self.is_deaf(r.file),)
        elif r.kind in "WTA" and r.file in self.by_number:
            offset = r.offset if r.kind == "W" else r.length if r.kind == "T" else r.offset + r.length
            self.by_number[r.file].pending.append((r.kind, offset, r.data, False))

    def is_deaf(self, number):
        if isinstance(self.by_number[number], Folder):
            return "/" in self.deaf
        return bool(self.deaf) and self.name_of[number].endswith(tuple(d for d in self.deaf if d != "/") or ("\0",))

    def write(self, target, chance, mode):
        self._folder(self.root, pathlib.Path(target), chance, mode)

    def _folder(self, folder, path, chance, mode):
        """Names: like a journal, up to some moment; or, as POSIX would have it, any of them."""
        path.mkdir(exist_ok=True)
        after = Folder()
        after.names = dict(folder.names)
        upto = {"nothing": 0, "all": len(folder.pending)}.get(mode, chance.randint(0, len(folder.pending)))
        for i, (name, node, source) in enumerate(folder.pending):
            if i < upto if mode != "sectors" else chance.random() < 0.5:
                move(after, name, node, (after, source[1]) if source and source[0] is folder else None)
        for name, node in after.names.items():
            if isinstance(node, Folder):
                self._folder(node, path / name, chance, mode)
            else:
                (path / name).write_bytes(self._content(node, chance, mode))

    def _content(self, file, chance, mode):
        content = bytearray(file.content)
        for change in file.pending:
            if change[3] or mode == "all" or (mode == "half" and chance.random() < 0.5):
                apply(content, change)
            elif mode == "sectors":
                apply_sectors(content, change, chance)
        return content
