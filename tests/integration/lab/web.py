# SPDX-License-Identifier: MIT
"""web: an https server that answers what a test tells it to, and a token endpoint (RFC 6749) made of it.

    w = Web(authority, {"/x": (200, {"Content-Type": "text/plain"}, "hello")})     w.url("/x"), w.asked
    t = TokenEndpoint(authority)                                                    t.url(), t.asked, t.fail("alice", ...)
"""
import http.server
import json
import ssl
import threading
import time
import urllib.parse

from . import ground


class Asked:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    @property
    def form(self):
        return {k: v[0] for k, v in urllib.parse.parse_qs(self.body.decode(), keep_blank_values=True).items()}


class Web:
    """`answer`: path -> (status, headers, body), or a callable(Asked) that gives one; None: silence until the client goes."""

    def __init__(self, authority, answer=None, names=(), port=0):
        self.host, self.answer, self.asked = ground.address(), dict(answer or {}), []
        self.certificate = authority.issue(self.host, *names)
        self.lock, web = threading.Lock(), self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = Asked(self.command, self.path, dict(self.headers), body)
                with web.lock:
                    web.asked.append(asked)
                answer = web.find(asked)
                if answer is None:
                    while self.connection.recv(4096):
                        pass
                    self.close_connection = True
                    return
                status, headers, text = answer
                text = text.encode() if isinstance(text, str) else text
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((self.host, port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.chain, self.certificate.key)
        # The handshake belongs to the connection's own thread: one that says nothing must not hold up the others.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def find(self, asked):
        answer = self.answer.get(asked.path.split("?")[0], (404, {}, "no such page"))
        return answer(asked) if callable(answer) else answer

    def url(self, path="/", host=None):
        return f"https://{host or self.host}:{self.port}{path}"

    def until_asked(self, count, seconds=20):
        return ground.until(f"{count} requests to {self.host}", lambda: len(self.asked) >= count and list(self.asked), seconds)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class TokenEndpoint(Web):
    """Gives each client a new access token whenever it asks: "USER-token-N". `life`: of a token, in seconds. `rotate`: gives a new refresh
    token with it, and takes only that from then on. `broken`: client -> (status, body) instead. A client is known by its id."""

    def __init__(self, authority, names=(), life=3600, rotate=False):
        super().__init__(authority, {"/token": self.token}, names)
        self.life, self.rotate, self.broken, self.given, self.refresh = life, rotate, {}, {}, {}
        self.on_given = lambda client, token: None

    def url(self, path="/token", host=None):
        return super().url(path, host)

    def token(self, asked):
        form = asked.form
        client = form.get("client_id", "")
        with self.lock:
            if client in self.broken:
                status, body = self.broken[client]
                return status, {"Content-Type": "application/json"}, body if isinstance(body, str) else json.dumps(body)
            right = self.refresh.get(client)
            if right is not None and form.get("refresh_token") != right:
                return 400, {}, json.dumps({"error": "invalid_grant", "error_description": "not the refresh token that is good now"})
            n = self.given[client] = self.given.get(client, 0) + 1
            answer = {"access_token": f"{client}-token-{n}", "expires_in": self.life, "token_type": "Bearer"}
            if self.rotate:
                answer["refresh_token"] = self.refresh[client] = f"{client}-refresh-{n}"
        self.on_given(client, answer["access_token"])
        return 200, {"Content-Type": "application/json", "Cache-Control": "no-store"}, json.dumps(answer)

    def count(self, client):
        with self.lock:
            return sum(1 for a in self.asked if a.form.get("client_id") == client)

    def until_count(self, client, count, seconds=20):
        ground.until(f"{count} requests for a token of {client}", lambda: self.count(client) >= count, seconds)

    def stays_at(self, client, count, seconds=0.5):
        time.sleep(seconds)
        assert self.count(client) == count
