"""ACS3-HMAC-SHA256 written from the vendor's description, without a line of the SDK: for walks over all operations."""

import datetime
import hashlib
import hmac
import secrets
import urllib.parse

from harness import wire
from harness.signer import canonical_query

ALGORITHM = "ACS3-HMAC-SHA256"


def headers(key_id, secret, method, target, host, version, body=b""):
    """The headers of a signed request, as a list of pairs."""
    path, _, query = target.partition("?")
    digest = hashlib.sha256(body).hexdigest()
    values = {
        "host": host,
        "x-acs-content-sha256": digest,
        "x-acs-date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": secrets.token_hex(16),
        "x-acs-version": version,
    }
    signed = ";".join(values)
    lines = "".join(f"{name}:{value}\n" for name, value in values.items())
    canonical = "\n".join([method, urllib.parse.quote(path), canonical_query(query), lines, signed, digest])
    to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    proof = f"{ALGORITHM} Credential={key_id},SignedHeaders={signed},Signature={signature}"
    return [*values.items(), ("Authorization", proof)]


STS, CLUSTERS = "2015-04-01", "2015-12-15"
"""Versions of the two services. They share an endpoint: the first is at the path `/`."""

JSON = ("Content-Type", "application/json")
"""Libraries add it to what was signed; that is allowed."""


def send(base, key, method, target, body=None, version=None):
    """Sends one signed request; a body that is not bytes becomes JSON."""
    version = version or (STS if target.partition("?")[0] == "/" else CLUSTERS)
    host, data = urllib.parse.urlsplit(base).netloc, wire.encoded(body)
    signed = headers(*key, method, target, host, version, data)
    # The host is among them, and must not come twice.
    return wire.send_raw(base, wire.request_bytes(method, target, [*signed, JSON], data), method)
