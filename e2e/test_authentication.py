"""Who is calling: signed requests, and what happens to those who only pretend."""

import hashlib
import json

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness import signer
from harness.process import until
from harness.wire import request_bytes, send_raw

PATH = "/api/v3/access-policies"
TOKENS = "/v3/auth/tokens"
PREFIX = "Incorrect IAM authentication information: "


@pytest.fixture(scope="module")
def client(bailiwick):
    return bailiwick.client()


@pytest.fixture(scope="module")
def user(bailiwick):
    return bailiwick.add_user()


def body_for(user, policy_type="CCEViewPolicy"):
    return json.dumps(
        {
            "name": "auth",
            "clusters": ["*"],
            "accessScope": {"namespaces": ["*"]},
            "policyType": policy_type,
            "principal": {"type": "user", "ids": [user]},
        }
    ).encode()


def check_refused(answer, says=None):
    """The gateway's own refusal, in a shape that every SDK client can read."""
    assert answer.status == 401, answer
    shown = answer.json()
    assert shown["error_code"] == "APIGW.0301" and shown["error_msg"].startswith(PREFIX), shown
    assert shown["request_id"] == answer.headers["X-Request-Id"]
    if says:
        assert shown["error_msg"] == PREFIX + says


@pytest.fixture(autouse=True)
def no_policy_is_made(client):
    before = client.call("GET", PATH)
    yield
    assert client.call("GET", PATH) == before


@pytest.mark.parametrize(
    "method, target, headers, body, signature",
    [
        (
            "GET",
            "/api/v3/access-policies?cluster_id=8e6bbdd0-1111-11f1-9a54-0255ac10004d",
            [],
            b"",
            "d9cf5ea60e9afef8f27a4c2b9473283596e01e975efbe920717b4e28b05f9317",
        ),
        (
            "POST",
            "/api/v3/access-policies",
            [],
            b'{"kind": "AccessPolicy", "apiVersion": "v3", "name": "p", "clusters": ["*"], "accessScope": {"namespaces": '
            b'["default"]}, "policyType": "CCEViewPolicy", "principal": {"type": "user", "ids": ["u1"]}}',
            "bb5232d2bbec8d5669f383ab42c9ce649565ec91e341e17d3dcbeac6fbeaf029",
        ),
        (
            "GET",
            "/api/v3/access-policies/a%2Fb%20c%252F%3A%40%C3%A9",
            [],
            b"",
            "0ec67bfe785c86d0dabed66294de76f38e5a242d3c73ee78dba7bc38e06babfa",
        ),
    ],
)
def test_our_own_signer_agrees_with_recorded_signatures(method, target, headers, body, signature):
    headers = [
        ("User-Agent", "huaweicloud-usdk-python/3.0; ua"),
        ("Content-Type", "application/json"),
        ("X-Sdk-Date", "20260101T000000Z"),
        ("Host", "cce.example.com"),
        ("X-Project-Id", "0123456789abcdef0123456789abcdef"),
        *headers,
    ]
    value = signer.authorization("AKEXAMPLE", "SKEXAMPLE", method, target, headers, body)
    assert value.endswith(f"SignedHeaders=content-type;host;user-agent;x-project-id;x-sdk-date, Signature={signature}")


def test_a_request_without_credentials_is_refused(bailiwick):
    for path in (PATH, f"{PATH}/x", "/v3/projects"):
        answer = send_raw(bailiwick.base, request_bytes("GET", path, [("Host", "localhost")]))
        assert answer.status == 401, answer
    check_refused(
        send_raw(bailiwick.base, request_bytes("GET", PATH, [("Host", "localhost")])), "x-auth-token not found"
    )
    answer = send_raw(bailiwick.base, request_bytes("GET", "/bailiwick/v1/users", [("Host", "localhost")]))
    assert (answer.status, answer.json()["error"]["code"]) == (401, "unauthenticated")


def test_the_sdk_shows_code_and_message_of_a_wrong_secret_and_of_an_unknown_key(bailiwick):
    for key, says in (
        ((bailiwick.key_id, "wrong"), "verify aksk signature fail"),
        (("AKUNKNOWN", "wrong"), "Get secretKey failed,ak:AKUNKNOWN,err:ak not exist"),
    ):
        with pytest.raises(ClientRequestException) as caught:
            bailiwick.policies(key).list()
        shown = caught.value
        assert (shown.status_code, shown.error_code, shown.error_msg) == (401, "APIGW.0301", PREFIX + says)
        assert shown.request_id


def test_a_bad_signature_learns_nothing_about_what_exists(bailiwick, user):
    cluster = bailiwick.add_cluster()

    def stranger():
        """With a key each time, because more than five wrong signatures lock one."""
        return bailiwick.client((bailiwick.add_key(bailiwick.root)[0], "wrong"))

    answers = [
        stranger().raw("GET", path)
        for path in (
            f"{PATH}?cluster_id={cluster}",
            f"{PATH}?cluster_id=none",
            f"{PATH}/none",
            f"/api/v3/projects/{bailiwick.project}/clusters/{cluster}",
            "/api/v3/projects/none/clusters/none",
        )
    ]
    answers += [stranger().raw("POST", PATH, body) for body in (body_for(user), body_for("nobody"), b"{", b"")]
    said = {
        json.dumps({key: value for key, value in answer.json().items() if key != "request_id"}) for answer in answers
    }
    assert len(said) == 1, said
    for answer in answers:
        check_refused(answer, "verify aksk signature fail")


def test_a_captured_request_with_another_body_is_refused(client, bailiwick, user):
    captured, swapped = body_for(user), body_for(user, "CCEClusterAdminPolicy")
    headers = client.headers("POST", PATH, captured)
    old = hashlib.sha256(captured).hexdigest()
    for added in (
        [],
        [("X-Sdk-Content-Sha256", old)],
        [("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD")],
        [("X-Sdk-Content-Sha256", hashlib.sha256(swapped).hexdigest())],
    ):
        answer = send_raw(bailiwick.base, request_bytes("POST", PATH, [*headers, *added], swapped), "POST")
        check_refused(answer)


def test_a_signed_hash_must_be_the_hash_of_the_body(client, user):
    body, other = body_for(user), body_for(user, "CCEClusterAdminPolicy")
    digest = hashlib.sha256(other).hexdigest()
    check_refused(client.raw("POST", PATH, body, extra=[("X-Sdk-Content-Sha256", digest)], payload_hash=digest))


@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream", "text/plain", None])
def test_an_unsigned_body_is_refused_where_json_is_taken(client, user, content_type):
    answer = client.raw(
        "POST",
        PATH,
        body_for(user),
        extra=[("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD")],
        payload_hash="UNSIGNED-PAYLOAD",
        content_type=content_type,
    )
    check_refused(answer)


def test_a_signed_and_true_hash_is_accepted(client):
    """Shown with a body that fails later, at its name: the signature is not what is refused."""
    body = json.dumps({"name": "NOT VALID"}).encode()
    digest = hashlib.sha256(body).hexdigest()
    assert client.raw("POST", PATH, body, extra=[("X-Sdk-Content-Sha256", digest)]).status == 400


@pytest.mark.parametrize("part", ["method", "path", "query", "header", "date", "host", "project"])
def test_every_signed_part_is_protected(client, bailiwick, part):
    target, method = f"{PATH}/some-id?cluster_id=a", "GET"
    headers = client.headers(method, target, extra=[("X-Extra", "1")])

    def changed(name, value):
        return [(key, value if key == name else old) for key, old in headers]

    sent = {
        "method": ("DELETE", target, headers),
        "path": (method, f"{PATH}/other?cluster_id=a", headers),
        "query": (method, f"{PATH}/some-id?cluster_id=b", headers),
        "header": (method, target, changed("X-Extra", "2")),
        "date": (method, target, changed("X-Sdk-Date", signer.now(60))),
        "host": (method, target, changed("Host", "elsewhere")),
        "project": (method, target, changed("X-Project-Id", "f" * 32)),
    }[part]
    check_refused(send_raw(bailiwick.base, request_bytes(*sent), method), "verify aksk signature fail")


@pytest.mark.parametrize("missing", ["host", "x-sdk-date", "x-project-id"])
def test_what_has_meaning_must_be_signed(client, bailiwick, missing):
    names = ["content-type", "host", "x-project-id", "x-sdk-date"]
    signed = [name for name in names if name != missing]
    answer = client.raw("GET", PATH, signed=signed)
    assert answer.status in (400, 401), answer


@pytest.mark.parametrize("minutes, accepted", [(-14, True), (14, True), (-16, False), (16, False), (-24 * 60, False)])
def test_a_signature_is_good_for_fifteen_minutes(client, minutes, accepted):
    answer = client.raw("GET", PATH, date=signer.now(minutes * 60))
    if accepted:
        assert answer.status == 200, answer
    else:
        check_refused(answer)


@pytest.mark.parametrize("date", ["", "20260101", "2026-01-01T00:00:00Z", "20261301T000000Z", "99999999T999999Z"])
def test_a_date_in_another_form_is_refused(client, date):
    answer = client.raw("GET", PATH, date=date or " ")
    assert answer.status in (400, 401), answer


@pytest.mark.parametrize(
    "name, value",
    [
        ("X-Sdk-Date", None),
        ("Host", None),
        ("Authorization", None),
        ("X-Project-Id", None),
        ("Content-Type", None),
        ("X-Sdk-Date", "20260101T000000Z"),
        ("Authorization", "Bearer x"),
    ],
)
def test_a_header_that_comes_twice_is_refused(client, bailiwick, name, value):
    headers = client.headers("GET", PATH)
    again = value or next(old for key, old in headers if key == name)
    for pairs in ([*headers, (name, again)], [(name, again), *headers]):
        answer = send_raw(bailiwick.base, request_bytes("GET", PATH, pairs))
        assert answer is not None and answer.status in (400, 401), answer
        assert isinstance(answer.json(), dict)


@pytest.mark.parametrize(
    "authorization",
    [
        "SDK-HMAC-SHA256",
        "SDK-HMAC-SHA256 ",
        "SDK-HMAC-SHA256 Access=",
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=, Signature=",
        "SDK-HMAC-SHA256 Access=a, Access=b, SignedHeaders=host;x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=host;x-sdk-date, Signature=zz",
        "SDK-HMAC-SM3 Access=a, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=a",
        "Basic YTpi",
        "Bearer ",
        "Bearer x",
        "x",
        "\t",
    ],
)
def test_a_malformed_authorization_is_refused(bailiwick, authorization):
    headers = [("Host", "localhost"), ("X-Sdk-Date", signer.now()), ("Authorization", authorization)]
    answer = send_raw(bailiwick.base, request_bytes("GET", PATH, headers))
    assert answer.status in (400, 401) and answer.json()["error_code"], answer


def test_a_disabled_or_deleted_key_is_refused(bailiwick, client):
    key = bailiwick.add_key(bailiwick.root)
    assert bailiwick.policies(key).list().status_code == 200
    client.call("PATCH", f"/bailiwick/v1/access-keys/{key[0]}", {"enabled": False}, status=200)
    until(lambda: bailiwick.client(key).raw("GET", PATH).status == 401, 1, "the disabled key is refused")
    client.call("PATCH", f"/bailiwick/v1/access-keys/{key[0]}", {"enabled": True}, status=200)
    until(lambda: bailiwick.client(key).raw("GET", PATH).status == 200, 1, "the enabled key is accepted")
    client.call("DELETE", f"/bailiwick/v1/access-keys/{key[0]}", status=204)
    until(lambda: bailiwick.client(key).raw("GET", PATH).status == 401, 1, "the deleted key is refused")
