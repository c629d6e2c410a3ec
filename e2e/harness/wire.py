"""HTTP at the level of bytes: what is sent is exactly what a test says, and what is answered is shown as it came."""

import http.client
import json
import secrets
import socket
import urllib.parse

from harness import signer


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:600]!r}>"


def connect(base):
    """A plain socket to the server."""
    parts = urllib.parse.urlsplit(base)
    return socket.create_connection((parts.hostname, parts.port), timeout=15)


def send_raw(base, data, method="GET"):
    """Sends `data` on a new connection and reads until the answer is complete or the server closes."""
    with connect(base) as sock:
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server may answer before everything was sent; what it said is still to be read
        return read_answer(sock, method)


def read_answer(sock, method="GET"):
    """The next answer on `sock`; `None` if the server closed without one."""
    response = http.client.HTTPResponse(sock, method=method)
    try:
        response.begin()
        return Answer(response.status, response.headers, response.read())
    except (http.client.BadStatusLine, ConnectionResetError):
        return None


def request_bytes(method, target, headers, body=b"", length=None):
    """A request as bytes. `target` may be bytes, for what no client would send."""
    target = target if isinstance(target, bytes) else target.encode()
    lines = [method.encode() + b" " + target + b" HTTP/1.1"]
    lines += [f"{name}: {value}".encode() for name, value in headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body) if length is None else length}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def send_unsigned(base, method, target, body=None, extra=()):
    """Sends a request without a credential; a body that is not bytes becomes JSON."""
    host = urllib.parse.urlsplit(base).netloc
    headers = [("Host", host), ("Content-Type", "application/json"), *extra]
    return send_raw(base, request_bytes(method, target, headers, encoded(body)), method)


class Client:
    """Signs with one access key, over one kept-open connection. Everything can be overridden per request."""

    def __init__(self, base, key_id, secret, project=None):
        self.base, self.key_id, self.secret, self.project = base, key_id, secret, project
        self.host = urllib.parse.urlsplit(base).netloc
        self.connection = http.client.HTTPConnection(self.host, timeout=30)

    def headers(self, method, target, body=b"", extra=(), **options):
        """Each time others, as of clients who mean to repeat something: a header makes each signature unique."""
        own = [("X-Project-Id", self.project)] if self.project else []
        own.append(("X-Nonce", secrets.token_hex(8)))
        return signer.signed_headers(
            self.key_id, self.secret, method, target, self.host, body, extra=[*own, *extra], **options
        )

    def request(self, method, target, body=None, **options):
        """Sends one signed request over the kept-open connection; a body that is not bytes becomes JSON."""
        data = encoded(body)
        headers = self.headers(method, target, data, **options)
        for attempt in (1, 2):
            try:
                self.connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
                for name, value in headers:
                    self.connection.putheader(name, value)
                if data or method in ("POST", "PUT", "PATCH", "DELETE"):
                    self.connection.putheader("Content-Length", str(len(data)))
                self.connection.endheaders(data or None)
                answer = self.connection.getresponse()
                return Answer(answer.status, answer.headers, answer.read())
            except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest):
                self.connection.close()
                if attempt == 2:
                    raise

    def raw(self, method, target, body=b"", **options):
        """The same on a connection of its own, without any check of the target."""
        headers = self.headers(method, target, body, **options)
        return send_raw(self.base, request_bytes(method, target, headers, body), method)

    def call(self, method, target, body=None, status=None):
        """A request that must succeed. Answers the parsed body."""
        answer = self.request(method, target, body)
        expected = (status,) if status else (200, 201, 204)
        assert answer.status in expected, f"{method} {target}: {answer!r}"
        return answer.json() if answer.body else None

    def all(self, target):
        """Every item of a native list, page by page."""
        items, cursor = [], None
        while True:
            joint = "&" if "?" in target else "?"
            page = self.call("GET", f"{target}{joint}limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            items += page["items"]
            cursor = page.get("next")
            if not cursor:
                return items


def encoded(body):
    """A body as it is sent."""
    if body is None:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()
