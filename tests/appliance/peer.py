# SPDX-License-Identifier: MIT
"""peer: the mail server at the other end. It takes everything and remembers it by the token that each message carries."""
import collections
import re
import socketserver
import threading


class Peer(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Conversation)
        self.port = self.server_address[1]
        self.count, self.last, self.lock = collections.Counter(), {}, threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def took(self, data):
        token = re.search(rb"token-[a-z]+-\d+-\d+", data)
        if token:
            with self.lock:
                self.count[token.group().decode()] += 1
                self.last[token.group().decode()] = data

    def has(self, token):
        with self.lock:
            return self.last.get(token)


class Conversation(socketserver.StreamRequestHandler):
    timeout = 120

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        try:
            self.say("220 peer.invalid ready")
            while line := self.rfile.readline(4096):
                verb = line[:4].upper()
                if verb == b"EHLO":
                    self.say("250-peer.invalid\r\n250-PIPELINING\r\n250 8BITMIME")
                elif verb == b"DATA":
                    self.say("354 go on")
                    data = bytearray()
                    while (line := self.rfile.readline(65536)) and line != b".\r\n":
                        data += line[1:] if line.startswith(b".") else line
                    if not line:
                        return
                    self.server.took(bytes(data))
                    self.say("250 taken")
                elif verb == b"QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 fine")
        except OSError:
            pass
