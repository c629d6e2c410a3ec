"""Two accounts on one server: an id of the other account is answered exactly as one that never was.

Every operation that names a thing, in its path, query, body or headers, is called by the root user of one account
with the id (or name) of a real thing of the other, and with an unknown one of the same form."""

import re
import secrets
import uuid

import pytest

from harness import acs3
from harness.operations import make_things, operations, requests

KINDS = (
    "account",
    "agency",
    "agency_name",
    "association",
    "cluster",
    "cluster_name",
    "enterprise_project",
    "grant",
    "group",
    "group_name",
    "key",
    "policy",
    "policy_name",
    "project",
    "token",
    "user",
    "user_name",
)
"""What a caller can name. Names are tried wherever an id is: paths of the native API take either."""

NAMES = {"agency": "agency_name", "cluster": "cluster_name", "group": "group_name", "policy": "policy_name", "user": "user_name"}

ALLOWED_TO_DIFFER = {"date", "x-request-id", "x-acs-request-id"}

OPERATIONS = operations()


@pytest.fixture(scope="module")
def here(bailiwick):
    return bailiwick.client()


@pytest.fixture(scope="module")
def mine(here):
    return make_things(here, f"Pw-{secrets.token_hex(12)}")


@pytest.fixture(scope="module")
def elsewhere(bailiwick):
    made = bailiwick.cli("account", "create", f"stranger-{secrets.token_hex(4)}", "--data-dir", bailiwick.data)
    return bailiwick.client((made["accessKeyId"], made["secretAccessKey"]))


@pytest.fixture(scope="module")
def theirs(elsewhere):
    return make_things(elsewhere, f"Pw-{secrets.token_hex(12)}")


def unknown_like(value):
    """A value of the same form that nothing has: letters and digits replaced at random, by their own kind."""

    def other(match):
        kinds = ("0123456789", "abcdef", "ghijklmnopqrstuvwxyz", "ABCDEF", "GHIJKLMNOPQRSTUVWXYZ")
        alphabet = next(kind for kind in kinds if match[0] in kind)
        return secrets.choice(alphabet)

    head, dash, tail = value.rpartition("-") if re.fullmatch(r"[a-z]+-[0-9a-f]+", value) else ("", "", value)
    return head + dash + re.sub(r"[0-9A-Za-z]", other, tail)


def kinds_used(operation):
    """Which kinds of things the requests of an operation name."""
    found = requests(operation, {kind: kind for kind in (*KINDS, "password", "account_name")})
    return [kind for kind in KINDS if any(kind in request.used for request in found)]


def shown(answer, values):
    """What the caller sees, with request ids and the named thing itself blanked out."""
    request_id = answer.headers["X-Request-Id"]
    text = answer.body.replace(request_id.encode(), b"REQUEST")
    text = text.replace(str(uuid.UUID(request_id)).upper().encode(), b"REQUEST")
    for value in values:
        text = text.replace(value.encode(), b"NAMED")
    # Both are made of the name that was asked for, and sealed anew each time; their lengths count.
    text = re.sub(rb"\(explanation [0-9a-f]{16}\)", b"(explanation)", text)
    sealed = rb'("(?:encoded_authorization_message|explanation|Explanation)": ?)"([^"]*)"'
    text = re.sub(sealed, lambda found: found[1] + str(len(found[2])).encode(), text)
    headers = sorted((name.lower(), value) for name, value in answer.headers.items())
    headers = [(name, value) for name, value in headers if name not in ALLOWED_TO_DIFFER]
    return answer.status, headers, text


def settled(request):
    """Names that requests make up for new things would differ from call to call."""
    if isinstance(request.body, dict) and str(request.body.get("name", "")).startswith("walk-"):
        request.body["name"] = "walk-once"
    return request


def sent(client, operation, request):
    """Signed as the operation's dialect has it."""
    if operation.dialect == "alibaba":
        key = (client.key_id, client.secret)
        return acs3.send(client.base, key, request.method, request.target, request.body)
    return client.request(request.method, request.target, request.body, extra=request.extra)


def answers(client, operation, things, kind, named):
    """What those requests of the operation that name a thing of that kind are answered."""
    found = []
    for request in requests(operation, {**things, kind: named}):
        if kind in request.used:
            request = settled(request)
            answer = sent(client, operation, request)
            found.append((request.method, request.target.replace(named, "NAMED"), shown(answer, [named])))
    return found


CASES = [
    pytest.param(operation, kind, replaced, id=f"{operation.name}-{kind}-by-{replaced}")
    for operation in OPERATIONS
    for kind in kinds_used(operation)
    for replaced in (kind, NAMES.get(kind))
    if replaced
]


@pytest.mark.parametrize(("operation", "kind", "replaced"), CASES)
def test_what_is_another_accounts_is_as_unknown_as_what_never_was(here, mine, theirs, operation, kind, replaced):
    real = theirs[replaced]
    never = unknown_like(real)
    assert real != never
    assert len(real) == len(never)
    of_real = answers(here, operation, mine, kind, real)
    assert of_real == answers(here, operation, mine, kind, never)
    assert of_real, "no request names it"
    for _, target, (status, _, body) in of_real:
        assert status in (200, 400, 401, 403, 404), (operation, target, status, body)
        assert status != 200 or operation.method == "GET", (operation, body)


def test_the_comparison_would_notice_what_is_there(here, mine):
    operation = next(one for one in OPERATIONS if one.name == "GET /bailiwick/v1/clusters/{cluster}")
    own, never = mine["cluster"], unknown_like(mine["cluster"])
    assert answers(here, operation, mine, "cluster", own) != answers(here, operation, mine, "cluster", never)


SCOPED = [
    one
    for one in OPERATIONS
    if one.dialect == "huawei" or (one.dialect == "native" and one.method == "GET" and one.path != "/metrics")
]
"""The native dialect does not look at the headers, so there it is enough to look at what changes nothing; the headers
claim a request for the vendor whose headers they are."""


@pytest.mark.parametrize(("header", "kind"), [("X-Project-Id", "project"), ("X-Domain-Id", "account")])
@pytest.mark.parametrize("operation", SCOPED, ids=lambda operation: operation.name)
def test_a_header_that_names_anothers_scope_is_answered_as_an_unknown_one(
    elsewhere, theirs, mine, operation, header, kind
):
    found = []
    for value in (mine[kind], unknown_like(mine[kind])):
        request = settled(requests(operation, theirs)[0])
        answer = elsewhere.request(
            request.method, request.target, request.body, extra=[(header, value), *request.extra]
        )
        found.append(shown(answer, [value]))
    assert found[0] == found[1]
    if operation.dialect != "native" and operation.name != "POST /v3/auth/tokens":
        assert found[0][0] == 403, found[0]


def test_nothing_of_the_others_was_changed_or_seen(elsewhere, theirs):
    """Runs last: what was named from the other account all the time is as it was made."""
    shown_user = elsewhere.call("GET", f"/bailiwick/v1/users/{theirs['user']}")
    assert shown_user["enabled"] is True
    assert shown_user["name"] == theirs["user_name"]
    members = elsewhere.call("GET", f"/bailiwick/v1/groups/{theirs['group']}")["members"]
    assert [member["id"] for member in members] == [theirs["user"]]
    grant = elsewhere.call("GET", f"/bailiwick/v1/grants/{theirs['grant']}")
    assert (grant["generation"], grant.get("revokedAt")) == (1, None)
    assert elsewhere.call("GET", f"/bailiwick/v1/clusters/{theirs['cluster']}")["name"] == theirs["cluster_name"]
    keys = elsewhere.all(f"/bailiwick/v1/access-keys?user={theirs['user']}")
    assert [(key["accessKeyId"], key["enabled"]) for key in keys] == [(theirs["key"], True)]
    subject = [("X-Subject-Token", theirs["token"])]
    assert elsewhere.request("GET", "/v3/auth/tokens", extra=subject).status == 200
