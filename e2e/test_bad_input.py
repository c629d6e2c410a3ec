"""What no client should send: each thing gets a clear answer in the caller's dialect, and nothing is stored."""

import json

import pytest

from harness.wire import request_bytes, send_raw

PATH = "/api/v3/access-policies"
NATIVE = "/bailiwick/v1/grants"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def user(bailiwick):
    return bailiwick.add_user()


@pytest.fixture(scope="module")
def client(bailiwick):
    return bailiwick.client()


@pytest.fixture
def valid(user):
    """A body that would be accepted."""
    return {
        "name": "bad",
        "clusters": ["*"],
        "accessScope": {"namespaces": ["*"]},
        "policyType": "CCEViewPolicy",
        "principal": {"type": "user", "ids": [user]},
    }


@pytest.fixture
def valid_native(user):
    return {
        "name": "bad",
        "role": "viewer",
        "principals": {"type": "user", "ids": [user]},
        "clusters": ["*"],
        "namespaces": ["*"],
    }


@pytest.fixture(autouse=True)
def nothing_is_stored(bailiwick, client):
    """Whatever a test sends, everything is afterwards as it was before, and the server lives."""

    def everything():
        nouns = ("users", "groups", "agencies", "clusters", "grants", "access-keys", "projects")
        found = {noun: client.all(f"/bailiwick/v1/{noun}") for noun in nouns}
        for key in found["access-keys"]:
            # That the key was used is true, and written some time later.
            key.pop("lastUsedAt", None)
        return found

    before = everything()
    yield
    assert everything() == before
    assert bailiwick.process.running()


def check_cce(answer, status):
    """An error that all four SDK clients can read. Answers its message."""
    assert answer is not None and answer.status == status, answer
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Request-Id"]
    body = answer.json()
    assert isinstance(body, dict), body
    assert body["errorCode"] == body["error_code"] and body["errorCode"], body
    assert body["errorMessage"] == body["error_msg"] and body["errorMessage"], body
    assert "message" not in body, "the SDK would print the text twice"
    return body["error_msg"]


CODES = {400: "invalid", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


def check_native(answer, status):
    """An error as docs/native-api.md describes. Answers its field and its message."""
    assert answer is not None and answer.status == status, answer
    assert answer.headers["Content-Type"].startswith("application/json")
    error = answer.json()["error"]
    assert error["code"] == CODES[status]
    assert error["message"]
    assert error["requestId"] == answer.headers["X-Request-Id"]
    return f"{error.get('field', '')}: {error['message']}"


def both(client, status, method="POST", body=b"", native=None, **options):
    """Sends the same to both dialects and checks both answers. Answers the two messages."""
    native = body if native is None else native
    return (
        check_cce(client.raw(method, PATH, body, **options), status),
        check_native(client.raw(method, NATIVE, native, **options), status),
    )


# --- bodies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [MIB + 1, 4 * MIB], ids=["one byte too many", "4 MiB"])
def test_an_oversized_body_is_refused_and_the_client_sees_it(client, valid, size):
    body = json.dumps(valid).encode()
    both(client, 413, body=body + b" " * (size - len(body)))


def test_a_body_of_exactly_the_limit_is_read(client, valid):
    body = json.dumps({**valid, "name": "NOT VALID"}).encode()
    assert "name" in check_cce(client.raw("POST", PATH, body + b" " * (MIB - len(body))), 400)


def test_an_oversized_body_without_a_length_is_refused_too(client, valid):
    body = json.dumps(valid).encode() + b" " * MIB
    for path, check in ((PATH, check_cce), (NATIVE, check_native)):
        headers = [*client.headers("POST", path, body), ("Transfer-Encoding", "chunked")]
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in _pieces(body)) + b"0\r\n\r\n"
        check(send_raw(client.base, "\r\n".join(lines).encode() + b"\r\n\r\n" + chunked, "POST"), 413)


def _pieces(body):
    return [body[start : start + 65536] for start in range(0, len(body), 65536)]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/yaml", "application/xml", "", None]
)
def test_a_body_that_is_not_declared_as_json_is_refused(client, valid, content_type):
    both(client, 415, body=json.dumps(valid).encode(), content_type=content_type)


@pytest.mark.parametrize(
    "content_type", ["application/json;charset=utf-8", "application/json; charset=UTF-8", "Application/JSON"]
)
def test_every_spelling_of_json_is_read(client, valid, content_type):
    body = json.dumps({**valid, "name": "NOT VALID"}).encode()
    assert "name" in check_cce(client.raw("POST", PATH, body, content_type=content_type), 400)


NOT_JSON = {
    "nothing": b"",
    "a truncated object": b'{"name": "a", "clusters": ["*"',
    "two objects": b"{}{}",
    "a trailing comma": b'{"name": "a",}',
    "a comment": b'{"name": "a" /* b */}',
    "NaN": b'{"name": NaN}',
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "an overlong encoding": b'{"name": "\xc0\xaf"}',
    "an encoded surrogate": b'{"name": "\xed\xa0\x80"}',
    "a lone escaped surrogate": b'{"name": "\\ud800"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "a NUL between tokens": b'{"name":\x00"a"}',
    "a raw NUL in a string": b'{"name": "a\x00b"}',
    "a raw line break in a string": b'{"name": "a\nb"}',
    "10,000 nested arrays": b'{"name": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "10,000 nested objects": b'{"name": ' * 10_000 + b"1" + b"}" * 10_000,
    "an array": b"[]",
    "a string": b'"a"',
    "null": b"null",
}


@pytest.mark.parametrize("what", NOT_JSON)
def test_a_body_that_is_no_json_object_is_refused(client, what):
    both(client, 400, body=NOT_JSON[what])


def test_deeply_nested_json_in_an_unknown_field_is_refused(client, valid, valid_native):
    deep = b"[" * 10_000 + b"]" * 10_000
    cce, native = (json.dumps(body).encode()[:-1] + b', "extra": ' + deep + b"}" for body in (valid, valid_native))
    both(client, 400, body=cce, native=native)


@pytest.mark.parametrize("repeated", ["name", "clusters", "policyType"])
def test_a_key_that_comes_twice_is_refused(client, valid, repeated):
    again = json.dumps({repeated: valid[repeated]})[1:-1].encode()
    body = json.dumps(valid).encode()[:-1] + b", " + again + b"}"
    assert repeated in check_cce(client.raw("POST", PATH, body), 400)


def test_a_key_that_comes_twice_further_in_is_refused(client, valid, valid_native, user):
    cce = json.dumps(valid).replace('"type": "user"', '"type": "user", "type": "user"').encode()
    native = json.dumps(valid_native).replace('"type": "user"', '"type": "user", "type": "user"').encode()
    for message in both(client, 400, body=cce, native=native):
        assert "type" in message


WRONG_TYPES = {
    "name": [1, None, ["a"], {"a": "b"}, True],
    "clusters": ["*", None, {"a": "b"}, 1, [1], [None], [["*"]]],
    "accessScope": ["*", None, [], {"namespaces": "*"}, {"namespaces": [1]}, {"namespaces": None}, {}],
    "policyType": [1, None, ["CCEViewPolicy"], {}],
    "principal": [
        "u",
        None,
        [],
        {"type": "user"},
        {"type": "user", "ids": "u"},
        {"type": "user", "ids": [1]},
        {"type": 1, "ids": ["u"]},
        {"type": ["user"], "ids": ["u"]},
    ],
    "kind": [1, ["AccessPolicy"], {}],
    "apiVersion": [3, ["v3"], {}],
}


@pytest.mark.parametrize(
    "field, value",
    [(field, value) for field, values in WRONG_TYPES.items() for value in values],
    ids=lambda part: part if isinstance(part, str) else json.dumps(part),
)
def test_a_field_of_the_wrong_type_is_refused_and_named(client, valid, field, value):
    answer = client.request("POST", PATH, {**valid, field: value})
    assert field in check_cce(answer, 400)


@pytest.mark.parametrize("field", ["clusters", "accessScope", "policyType", "principal"])
def test_a_field_that_is_missing_is_named(client, valid, field):
    del valid[field]
    assert field in check_cce(client.request("POST", PATH, valid), 400)


@pytest.mark.parametrize(
    "field, native", [("clusters", "clusters"), ("ids", "principals"), ("namespaces", "namespaces")]
)
def test_ten_thousand_ids_are_refused_at_once(client, valid, valid_native, field, native):
    many = [f"id-{number}" for number in range(10_000)]
    target = {"clusters": valid, "ids": valid["principal"], "namespaces": valid["accessScope"]}[field]
    target[field] = many
    if native == "principals":
        valid_native["principals"]["ids"] = many
    else:
        valid_native[native] = many
    cce_message, native_message = both(
        client, 400, body=json.dumps(valid).encode(), native=json.dumps(valid_native).encode()
    )
    assert field in cce_message
    assert len(cce_message) < 1000
    assert len(native_message) < 1000


@pytest.mark.parametrize("name", ["a\u0000b", "a\u001b[31m", "a\u202eb", "a\nb", " a", "x" * 100_000])
def test_a_name_with_control_characters_or_without_end_is_refused(client, valid, valid_native, name):
    valid["name"] = valid_native["name"] = name
    both(client, 400, body=json.dumps(valid).encode(), native=json.dumps(valid_native).encode())
    for noun in ("users", "groups", "agencies", "clusters", "projects"):
        check_native(client.request("POST", f"/bailiwick/v1/{noun}", {"name": name}), 400)


def test_an_unknown_key_is_refused_by_the_native_api(client, valid_native):
    answer = client.request("POST", NATIVE, {**valid_native, "namespace": ["default"]})
    assert "namespace" in check_native(answer, 400)


@pytest.mark.parametrize("chosen", ["a/b", "..", "ä", "a b", "x" * 65, "", "a\u0000"])
def test_an_id_of_other_characters_is_refused(client, chosen):
    for noun in ("users", "groups", "agencies", "clusters"):
        check_native(client.request("POST", f"/bailiwick/v1/{noun}", {"id": chosen, "name": "chosen"}), 400)


# --- paths and methods ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_unknown_path_is_not_found(client, method):
    for path in ("/api/v3/access-policy", f"{PATH}/a/b", "/api/v3/projects/p/nothing", "/api/v4/access-policies"):
        check_cce(client.raw(method, path), 404)
    check_native(client.raw(method, "/bailiwick/v1/nothing"), 404)
    check_native(client.raw(method, "/bailiwick/v1/grants/a/b"), 404)


@pytest.mark.parametrize("path", ["/", "/nothing", "/favicon.ico", "/v9/nothing"])
def test_a_path_of_no_dialect_still_gets_an_object(client, path):
    answer = client.raw("GET", path)
    assert answer.status == 404
    assert isinstance(answer.json(), dict)


def test_a_wrong_method_is_refused(client):
    for method, path in (
        ("PATCH", PATH),
        ("DELETE", PATH),
        ("PUT", PATH),
        ("POST", f"{PATH}/some-id"),
        ("PATCH", f"{PATH}/some-id"),
    ):
        check_cce(client.raw(method, path), 405)
    for method, path in (("PATCH", NATIVE), ("DELETE", NATIVE), ("PUT", "/bailiwick/v1/users")):
        check_native(client.raw(method, path), 405)


TWO_READINGS = [
    "a%2Fb",
    "a%2fb",
    "..",
    ".",
    "a/../b",
    "a/./b",
    "%2e%2e",
    "a/%2E%2E/b",
    "a%00b",
    "a%5Cb",
    "a\\b",
    "a//b",
    "/a",
    "a%252Fb%zz",
    "%ff%fe",
    "%",
]


@pytest.mark.parametrize("tail", TWO_READINGS)
def test_a_path_that_can_be_read_in_two_ways_is_refused(client, tail):
    check_cce(client.raw("GET", f"{PATH}/{tail}"), 400)
    check_native(client.raw("GET", f"{NATIVE}/{tail}"), 400)


@pytest.mark.parametrize("tail", TWO_READINGS)
def test_such_a_path_is_refused_before_anybody_is_asked_who_they_are(bailiwick, tail):
    unsigned = request_bytes("GET", f"{PATH}/{tail}", [("Host", "localhost")])
    check_cce(send_raw(bailiwick.base, unsigned), 400)


def test_a_path_that_climbs_out_of_the_list_reaches_nothing(client, valid):
    for path in (f"{PATH}/../access-policies", f"/nothing/..{PATH}", f"/bailiwick/v1/../..{PATH}"):
        answer = client.raw("POST", path, json.dumps(valid).encode())
        assert answer.status == 400
        assert isinstance(answer.json(), dict)


@pytest.mark.parametrize("target", [PATH.encode() + b"/a\x00b", PATH.encode() + b"/\xff", b"no-slash"])
def test_bytes_that_no_path_may_hold_end_in_an_error(bailiwick, target):
    answer = send_raw(bailiwick.base, request_bytes("GET", target, [("Host", "localhost")]))
    assert answer is None or 400 <= answer.status < 500


def test_a_scalar_query_key_that_comes_twice_is_refused(client):
    check_cce(client.raw("GET", f"{PATH}?cluster_id=a&cluster_id=b"), 400)
    check_native(client.raw("GET", f"{NATIVE}?cluster=a&cluster=b"), 400)
    check_native(client.raw("GET", f"{NATIVE}?limit=1&limit=2"), 400)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=-1", "limit=x", "cursor=%00", "cursor=nonsense"])
def test_a_page_that_cannot_be_is_refused(client, query):
    check_native(client.raw("GET", f"{NATIVE}?{query}"), 400)


def test_a_header_section_over_the_limit_is_refused(bailiwick):
    headers = [("Host", "localhost"), ("X-Long", "a" * 70_000)]
    answer = send_raw(bailiwick.base, request_bytes("GET", PATH, headers))
    assert answer is None or answer.status in (400, 431)


# --- other tenants ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(bailiwick):
    """Another account's root user, with a cluster, a user and a policy: (client, cluster, user, policy)."""
    made = bailiwick.cli("account", "create", "stranger", "--data-dir", bailiwick.data)
    key = (made["accessKeyId"], made["secretAccessKey"])
    other = bailiwick.client(key)
    if not other.all("/bailiwick/v1/projects"):
        other.call("POST", "/bailiwick/v1/projects", {"name": "elsewhere"}, status=201)
    cluster = other.call("POST", "/bailiwick/v1/clusters", {"name": "theirs"}, status=201)["id"]
    user = other.call("POST", "/bailiwick/v1/users", {"name": "theirs"}, status=201)["id"]
    policy = other.call(
        "POST",
        PATH,
        {
            "name": "theirs",
            "clusters": [cluster],
            "accessScope": {"namespaces": ["*"]},
            "policyType": "CCEViewPolicy",
            "principal": {"type": "user", "ids": [user]},
        },
        status=201,
    )["policyId"]
    return other, cluster, user, policy


def test_another_accounts_cluster_is_as_unknown_as_one_that_never_was(client, valid, stranger):
    _, cluster, _, _ = stranger
    messages = []
    for one in (cluster, "0" * len(cluster)):
        answer = client.request("POST", PATH, {**valid, "clusters": [one]})
        messages.append(check_cce(answer, 400).replace(one, "ID"))
    assert messages[0] == messages[1]


def test_another_accounts_user_is_as_unknown_as_one_that_never_was(client, valid, stranger):
    _, _, user, _ = stranger
    messages = []
    for one in (user, "0" * len(user)):
        answer = client.request("POST", PATH, {**valid, "principal": {"type": "user", "ids": [one]}})
        messages.append(check_cce(answer, 400).replace(one, "ID"))
    assert messages[0] == messages[1]


def test_nothing_of_another_account_can_be_read_changed_or_removed(client, valid, stranger):
    other, cluster, user, policy = stranger
    for method, body in (("GET", None), ("PUT", valid), ("DELETE", None)):
        check_cce(client.request(method, f"{PATH}/{policy}", body), 404)
    for path in (f"clusters/{cluster}", f"users/{user}", f"grants/{policy}"):
        for method in ("GET", "DELETE"):
            check_native(client.request(method, f"/bailiwick/v1/{path}"), 404)
    mine = client.call("GET", f"{PATH}?cluster_id={cluster}")["accessPolicyList"]
    assert all(one["clusters"] == ["*"] for one in mine)
    assert other.call("GET", f"{PATH}/{policy}")["principal"]["ids"] == [user]


def test_a_project_of_another_account_in_the_header_is_refused(bailiwick, stranger):
    other, _, _, _ = stranger
    answer = other.raw("GET", PATH, extra=[("X-Project-Id", bailiwick.project)])
    assert answer.status in (400, 401, 403)
    assert answer.json()["error_code"]
