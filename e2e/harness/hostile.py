"""API servers that lie, hang, flood or refuse, over the TLS of a real cluster's authority."""

import contextlib
import gzip
import http.server
import json
import socket
import ssl
import threading
import time


class HostileServer:
    """Answers every request in one way. `answer(handler)` is called for each; `handler.body` was read already."""

    def __init__(self, certificate, answer):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests += 1
                # Unless it says otherwise.
                self.close_connection = True
                try:
                    answer(self)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

            def log_message(self, *_):
                pass

        self.requests = 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def says(status, body=b"{}", headers=()):
    """Answers always the same."""

    def answer(handler):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hangs(_):
    """Never answers."""
    time.sleep(60)


def never_ends(handler):
    """Answers, and goes on answering."""
    handler.send_response(201)
    handler.end_headers()
    handler.wfile.write(b'{"kind":"')
    while True:
        handler.wfile.write(b"x" * 65536)


BOMB = says(201, gzip.compress(b" " * (64 << 20)), [("Content-Encoding", "gzip")])
NO_ANSWER = says(201, json.dumps({"kind": "SelfSubjectAccessReview", "status": {}}).encode())


@contextlib.contextmanager
def mute():
    """Accepts connections and never says a word, not even of TLS. Gives its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def servers(authority, strange):
    """One of every kind: the name of the kind to its URL. All but the stranger are vouched for by `authority`."""
    certificate = authority.server("hostile")
    ways = {
        "html": (certificate, says(200, b"<html>hello</html>")),
        "unauthorized": (certificate, says(401)),
        "forbidden": (certificate, says(403, b'{"kind":"Status","message":"never"}')),
        "missing": (certificate, says(404)),
        "moved": (certificate, says(302, headers=[("Location", "https://127.0.0.1:1/")])),
        "busy": (certificate, says(429, headers=[("Retry-After", "30")])),
        "broken": (certificate, says(500)),
        "away": (certificate, says(503)),
        "silent": (certificate, hangs),
        "endless": (certificate, never_ends),
        "bomb": (certificate, BOMB),
        "no answer": (certificate, NO_ANSWER),
        "stranger": (strange.server("strange"), says(200)),
        "misnamed": (authority.server("misnamed", "DNS:elsewhere.example"), says(200)),
    }
    running = {name: HostileServer(*way) for name, way in ways.items()}
    try:
        with mute() as url:
            yield {name: server.url for name, server in running.items()} | {"mute": url, "closed": "https://127.0.0.1:1"}
    finally:
        for server in running.values():
            server.stop()
