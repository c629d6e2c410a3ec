"""SDK-HMAC-SHA256 written from the vendor's description, without a line of the SDK.

The SDK cannot be made to send a request that is wrong on purpose; this can. Headers are a list of pairs, so that one
may come twice; the path is sent as it is given.
"""

import datetime
import hashlib
import hmac
import urllib.parse

ALGORITHM = "SDK-HMAC-SHA256"
UNRESERVED = "-_.~"


def now(offset_seconds=0):
    """The time in the form of `X-Sdk-Date`."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset_seconds)
    return moment.strftime("%Y%m%dT%H%M%SZ")


def canonical_path(raw_path):
    pieces = urllib.parse.unquote(raw_path, errors="surrogateescape").split("/")
    encoded = "/".join(
        urllib.parse.quote(piece.encode("utf-8", "surrogateescape"), safe=UNRESERVED) for piece in pieces
    )
    return encoded if encoded.endswith("/") else encoded + "/"


def canonical_query(raw_query):
    pairs = sorted(urllib.parse.parse_qsl(raw_query, keep_blank_values=True))
    quote = urllib.parse.quote
    return "&".join(f"{quote(key, safe=UNRESERVED)}={quote(value, safe=UNRESERVED)}" for key, value in pairs)


def canonical_request(method, target, headers, signed, payload_hash):
    raw_path, _, raw_query = target.partition("?")
    values = {}
    for name, value in headers:
        values.setdefault(name.lower(), value.strip())
    lines = "".join(f"{name}:{values[name]}\n" for name in signed)
    return "\n".join(
        [method.upper(), canonical_path(raw_path), canonical_query(raw_query), lines, ";".join(signed), payload_hash]
    )


def authorization(key_id, secret, method, target, headers, body=b"", signed=None, payload_hash=None):
    """The value of `Authorization`. `headers` must hold `X-Sdk-Date` and `Host`."""
    signed = signed or sorted({name.lower() for name, _ in headers})
    date = next(value for name, value in headers if name.lower() == "x-sdk-date")
    digest = payload_hash or hashlib.sha256(body).hexdigest()
    canonical = canonical_request(method, target, headers, signed, digest)
    to_sign = "\n".join([ALGORITHM, date, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"{ALGORITHM} Access={key_id}, SignedHeaders={';'.join(signed)}, Signature={signature}"


def signed_headers(
    key_id, secret, method, target, host, body=b"", extra=(), date=None, content_type="application/json", **options
):
    """The headers of a signed request, as a list of pairs; every one of `extra` is signed."""
    headers = [("Host", host), ("X-Sdk-Date", date or now())]
    if content_type is not None:
        headers.append(("Content-Type", content_type))
    headers += list(extra)
    value = authorization(key_id, secret, method, target, headers, body, **options)
    return [*headers, ("Authorization", value)]
