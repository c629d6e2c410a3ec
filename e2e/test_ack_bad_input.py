"""What nobody should grant is refused whole: what there was stays as it was, and the answer says which row is wrong."""

import json
import secrets

import pytest

from harness import acs3
from harness.ack import Refused, SyncClient, granted, shown


@pytest.fixture(scope="module")
def cluster(bailiwick):
    return bailiwick.add_cluster()


@pytest.fixture(scope="module")
def elsewhere(bailiwick):
    """A cluster and a user of another account."""
    made = bailiwick.cli("account", "create", f"stranger-{secrets.token_hex(4)}", "--data-dir", bailiwick.data)
    client = bailiwick.client((made["accessKeyId"], made["secretAccessKey"]))
    name = secrets.token_hex(4)
    cluster = client.call("POST", "/bailiwick/v1/clusters", {"name": name}, status=201)["id"]
    return cluster, client.call("POST", "/bailiwick/v1/users", {"name": name}, status=201)["id"]


@pytest.fixture(scope="module")
def user(bailiwick, cluster):
    """Somebody with one right."""
    made = bailiwick.add_user()
    client = SyncClient(bailiwick.base, (bailiwick.key_id, bailiwick.secret))
    client.grant_permissions(made, [granted((cluster, "kept"), "dev")])
    return made


@pytest.fixture
def send(bailiwick, cluster, user):
    """Sends any body to each of the two operations and every mode, and sees that nothing changed."""
    key = (bailiwick.key_id, bailiwick.secret)
    path = f"/permissions/users/{user}"

    def call(body):
        targets = [path, f"{path}/update", *(f"{path}/update?mode={mode}" for mode in ("apply", "patch", "delete"))]
        answers = [acs3.send(bailiwick.base, key, "POST", target, body) for target in targets]
        assert acs3.send(bailiwick.base, key, "GET", path).json() == [shown((cluster, "kept"), "dev")]
        return answers

    return call


def row(**fields):
    return {"cluster": "C", "role_type": "cluster", "role_name": "dev", **fields}


def without(field):
    return {name: value for name, value in row().items() if name != field}


GIVEN_ELSEWHERE = [
    "admin in a namespace",
    "admin-view in a namespace",
    "ops in a namespace",
    "admin-view everywhere",
]

WRONG = {
    "a role that is not known": row(role_name="editor"),
    "a role in other letters": row(role_name="Dev"),
    "no role": without("role_name"),
    "an empty role": row(role_name=""),
    "a custom role without a name": row(role_name="", is_custom=True),
    "a custom role with a name that no role can have": row(role_name="a b", is_custom=True),
    "a kind of place that is not known": row(role_type="console"),
    "no kind of place": without("role_type"),
    "no cluster": without("cluster"),
    "an empty cluster": row(cluster=""),
    "a cluster that is not there": row(cluster="c00000000000000000000000000000000"),
    "a cluster beside all of them": row(role_type="all-clusters"),
    "no namespace": row(role_type="namespace"),
    "an empty namespace": row(role_type="namespace", namespace=""),
    "a namespace that cannot be": row(role_type="namespace", namespace="测试"),
    "all namespaces as one": row(role_type="namespace", namespace="*"),
    "admin in a namespace": row(role_type="namespace", namespace="a", role_name="admin"),
    "admin-view in a namespace": row(role_type="namespace", namespace="a", role_name="admin-view"),
    "ops in a namespace": row(role_type="namespace", namespace="a", role_name="ops"),
    "admin-view everywhere": row(role_type="all-clusters", cluster="", role_name="admin-view"),
    "a flag in words": row(is_custom="true"),
    "a flag as a number": row(is_ram_role=0),
    "a cluster as a number": row(cluster=1),
    "a role as a list": row(role_name=["dev"]),
    "no object": "dev",
    "nothing": None,
    "a list": [],
}


def placed(value, cluster):
    """The same with the id of a cluster that is there."""
    if isinstance(value, dict) and value.get("cluster") == "C":
        return {**value, "cluster": cluster}
    return value


@pytest.mark.parametrize("what", WRONG)
def test_a_row_that_cannot_be_refuses_all_of_them(send, cluster, what):
    good = granted((cluster, "other"), "dev")
    answers = send([good, placed(WRONG[what], cluster)])
    if what in GIVEN_ELSEWHERE:
        # The other dialect gives these: whatever is shown may be taken away.
        assert answers.pop().status == 200
    for answer in answers:
        assert answer.status in (400, 404), (what, answer)
        body = answer.json()
        assert body["Code"] == body["code"] and body["Code"] in ("InvalidParameter", "ErrorClusterNotFound"), body
        assert body["Message"], body


def test_rows_that_contradict_each_other_are_refused(send, cluster):
    here = (cluster, "a")
    for rows in (
        [granted(here, "dev"), granted(here, "dev")],
        [granted(cluster, "dev"), granted(cluster, "dev", namespace="ignored")],
        [granted(here, "x", is_custom=True), granted(here, "x", is_custom=True)],
    ):
        for answer in send(rows):
            assert (answer.status, answer.json()["Code"]) == (400, "InvalidParameter"), (rows, answer)
    # Several predefined roles in one place cannot be given; what of them somebody has can be taken away.
    for rows in (
        [granted(here, "dev"), granted(here, "restricted")],
        [granted(None, "dev"), granted(None, "ops")],
    ):
        *giving, taking = send(rows)
        assert taking.status == 200
        for answer in giving:
            assert (answer.status, answer.json()["Code"]) == (400, "InvalidParameter"), (rows, answer)


def test_ten_thousand_rows_are_refused_at_once(send, cluster):
    for answer in send([granted((cluster, f"n-{number}"), "dev") for number in range(10_000)]):
        assert answer.status in (400, 413), answer
        assert answer.json()["Code"] in ("InvalidParameter", "RequestEntityTooLarge")


def test_a_body_that_is_no_list_of_rows_is_refused(send, cluster):
    one = granted((cluster, "other"), "dev")
    for body in (one, {"body": [one]}, "x", b"[", b"\xff", b"[{}] []", [[one]], 1, True):
        for answer in send(body if isinstance(body, bytes) else json.dumps(body).encode()):
            assert (answer.status, answer.json()["Code"]) == (400, "InvalidParameter"), (body, answer)


def test_a_key_that_comes_twice_is_refused(send, cluster):
    text = f'[{{"cluster":"{cluster}","role_type":"cluster","role_name":"dev","role_name":"admin"}}]'
    for answer in send(text.encode()):
        assert (answer.status, answer.json()["Code"]) == (400, "InvalidParameter"), answer


def test_a_mode_that_is_not_known_is_refused(bailiwick, user, cluster):
    key = (bailiwick.key_id, bailiwick.secret)
    path = f"/permissions/users/{user}"
    for query in ("mode=replace", "mode=Patch", "mode=", "mode=patch&mode=delete"):
        answer = acs3.send(bailiwick.base, key, "POST", f"{path}/update?{query}", [])
        assert (answer.status, answer.json()["Code"]) == (400, "InvalidParameter"), (query, answer)
    assert acs3.send(bailiwick.base, key, "GET", path).json() == [shown((cluster, "kept"), "dev")]


def test_what_is_another_accounts_is_as_unknown_as_what_never_was(send, bailiwick, cluster, elsewhere):
    theirs, their_user = elsewhere
    for answer in send([granted((cluster, "other"), "dev"), granted(theirs, "dev")]):
        assert (answer.status, answer.json()["Code"]) == (404, "ErrorClusterNotFound"), answer
    client = SyncClient(bailiwick.base, (bailiwick.key_id, bailiwick.secret))
    assert client.describe_user_permission(their_user).body == []
    for call in (
        lambda: client.grant_permissions(their_user, [granted(cluster, "dev")]),
        lambda: client.clean_user_permissions(their_user, force=True),
        lambda: client.clean_cluster_user_permissions(cluster, their_user, force=True),
    ):
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.status in (400, 404)


def test_groups_hold_nothing_by_themselves(bailiwick, cluster):
    group = bailiwick.add_group()
    client = SyncClient(bailiwick.base, (bailiwick.key_id, bailiwick.secret))
    assert client.describe_user_permission(group).body == []
    with pytest.raises(Refused) as refused:
        client.grant_permissions(group, [granted(cluster, "dev")])
    assert refused.value.status == 400


def test_limits_of_rows_are_errors_and_never_a_part_of_them(new_server):
    server = new_server(config="[ack]\nmax_rows = 3\nmax_removed_per_replace = 2\n").start()
    user, cluster = server.add_user(), server.add_cluster()
    client = SyncClient(server.base, (server.key_id, server.secret))
    places = [(cluster, name) for name in "abcd"]
    client.grant_permissions(user, [granted(place, "dev") for place in places[:3]])
    with pytest.raises(Refused) as refused:
        client.grant_permissions(user, [granted(place, "dev") for place in places])
    assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")
    # To take away more at once than is allowed is nobody's wish.
    with pytest.raises(Refused) as refused:
        client.grant_permissions(user, [])
    assert (refused.value.status, refused.value.code) == (409, "Conflict")
    rows = [shown(place, "dev") for place in places]
    assert client.describe_user_permission(user).body == rows[:3]
    # More rows than a client is to read are told, and not cut off.
    client.update_user_permissions(user, [granted(places[3], "dev")], "patch")
    with pytest.raises(Refused) as refused:
        client.describe_user_permission(user)
    assert (refused.value.status, refused.value.code) == (409, "Conflict")
    client.update_user_permissions(user, [granted(place, "dev") for place in places[:2]], "delete")
    assert client.describe_user_permission(user).body == rows[2:]
    client.grant_permissions(user, [])
    assert client.describe_user_permission(user).body == []
