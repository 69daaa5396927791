# SPDX-License-Identifier: MIT
"""pipe: joins standard input and output, which QEMU makes of a guest's connection, to a port on loopback."""
import os
import select
import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as peer:
    open_ends = {0: peer.fileno(), peer.fileno(): 1}
    while open_ends:
        for source in select.select(list(open_ends), [], [])[0]:
            try:
                data = os.read(source, 65536)
                view = memoryview(data)
                while view:
                    view = view[os.write(open_ends[source], view):]
            except OSError:
                data = b""
            if not data:
                sys.exit()
