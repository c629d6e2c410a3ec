"""Users' permissions by the second vendor's four official clients, on both databases: what is granted, updated and
cleaned is what is described, and exactly in the form that each of the clients reads."""

import re
import secrets

import pytest

from harness import acs3
from harness.ack import Refused, granted, shown

BOTH = pytest.mark.parametrize("bailiwick", ["sqlite", "postgres"], indirect=True, scope="module")

REQUEST_ID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")


@pytest.fixture(scope="module")
def clusters(bailiwick):
    """Two clusters without an API server, in the order of their ids."""
    return sorted([bailiwick.add_cluster(), bailiwick.add_cluster()])


@pytest.fixture
def ack(ack_client):
    """One client of each kind in turn, as the root user."""
    return ack_client()


@pytest.fixture
def user(bailiwick):
    return bailiwick.add_user()


def described(client, uid):
    answer = client.describe_user_permission(uid)
    assert answer.status == 200
    return answer.body


def raw(bailiwick, method, target, body=None):
    """What is on the wire, whatever clients make of it."""
    return acs3.send(bailiwick.base, (bailiwick.key_id, bailiwick.secret), method, target, body)


@BOTH
def test_what_is_granted_is_described_in_the_vendors_words(bailiwick, ack, user, clusters):
    first, second = clusters
    assert described(ack, user) == []
    rows = [
        granted((second, "team-b"), "restricted", is_custom=False, is_ram_role=False),
        granted(None, "ops"),
        granted(first, "dev", namespace=""),
        granted(second, "admin-view"),
        granted(first, "terway-pod-reader", is_custom=True),
        granted((first, "team-a"), "dev"),
        granted(first, "ack:other.reader", is_custom=True),
    ]
    answer = ack.grant_permissions(user, rows)
    assert (answer.status, answer.body) in [(200, None), (200, {})]
    assert REQUEST_ID.fullmatch(answer.headers["x-acs-request-id"])
    assert described(ack, user) == [
        shown(None, "ops"),
        shown(first, "dev"),
        shown(first, "ack:other.reader", custom=True),
        shown(first, "terway-pod-reader", custom=True),
        shown((first, "team-a"), "dev"),
        shown(second, "admin-view"),
        shown((second, "team-b"), "restricted"),
    ]


@BOTH
def test_a_grant_replaces_all_there_was_and_an_empty_one_leaves_nothing(ack, user, clusters):
    first, second = clusters
    ack.grant_permissions(user, [granted(first, "admin"), granted((second, "a"), "dev")])
    ack.grant_permissions(user, [granted(second, "ops")])
    assert described(ack, user) == [shown(second, "ops")]
    ack.grant_permissions(user, [])
    assert described(ack, user) == []


@BOTH
def test_a_body_that_is_left_unset_takes_nothing_away_unless_the_client_makes_a_list_of_it(
    bailiwick, ack, user, clusters
):
    rows = [granted(clusters[0], "dev")]
    ack.grant_permissions(user, rows)
    try:
        ack.grant_permissions(user, None)
        # The present Python SDK sends `[]` for it: on the wire that is the wish to have nothing.
        assert type(ack).__name__ in ("SyncClient", "AsyncClient")
        assert described(ack, user) == []
    except Refused as refused:
        assert (refused.status, refused.code) == (400, "InvalidParameter")
        assert "body" in refused.message
        assert described(ack, user) == [shown(clusters[0], "dev")]
    ack.grant_permissions(user, rows)
    for target in (f"/permissions/users/{user}", f"/permissions/users/{user}/update?mode=patch"):
        for body in (None, b"null", b"{}", b'""'):
            answer = raw(bailiwick, "POST", target, body)
            assert answer.status == 400, (target, body, answer)
    assert described(ack, user) == [shown(clusters[0], "dev")]


@BOTH
def test_updates_replace_add_or_take_away_as_their_mode_says(ack, user, clusters):
    first, second = clusters
    ack.update_user_permissions(user, [granted(first, "dev"), granted((second, "a"), "dev")])
    assert described(ack, user) == [shown(first, "dev"), shown((second, "a"), "dev")]
    ack.update_user_permissions(user, [granted(first, "restricted"), granted((second, "a"), "dev")], "apply")
    assert described(ack, user) == [shown(first, "restricted"), shown((second, "a"), "dev")]
    # A predefined role takes the place of the one there was; custom ones stand beside it.
    added = [granted(first, "ops"), granted(first, "reader", is_custom=True), granted((second, "b"), "restricted")]
    ack.update_user_permissions(user, added, "patch")
    everything = [
        shown(first, "ops"),
        shown(first, "reader", custom=True),
        shown((second, "a"), "dev"),
        shown((second, "b"), "restricted"),
    ]
    assert described(ack, user) == everything
    ack.update_user_permissions(user, [], "patch")
    ack.update_user_permissions(user, [], "delete")
    assert described(ack, user) == everything
    gone = [granted(first, "ops"), granted((second, "b"), "restricted"), granted((second, "never"), "dev")]
    ack.update_user_permissions(user, gone, "delete")
    assert described(ack, user) == [shown(first, "reader", custom=True), shown((second, "a"), "dev")]
    # The role in the place must be the one: another one is not what was to be taken away.
    ack.update_user_permissions(user, [granted((second, "a"), "restricted")], "delete")
    assert described(ack, user) == [shown(first, "reader", custom=True), shown((second, "a"), "dev")]
    ack.update_user_permissions(user, [])
    assert described(ack, user) == []


@BOTH
def test_all_clusters_need_no_cluster_and_a_cluster_needs_no_namespace(ack, user, clusters):
    # The vendor's own sample has a namespace beside a whole cluster; an update may leave the cluster out for all of them.
    rows = [granted(clusters[0], "dev", namespace="test"), {"role_type": "all-clusters", "role_name": "restricted"}]
    ack.update_user_permissions(user, rows, "patch")
    assert described(ack, user) == [shown(None, "restricted"), shown(clusters[0], "dev")]
    ack.update_user_permissions(user, [granted(None, "restricted")], "delete")
    assert described(ack, user) == [shown(clusters[0], "dev")]


@BOTH
def test_a_role_of_the_account_is_named_and_shown_as_one(bailiwick, ack, clusters):
    agency = bailiwick.add_agency()
    ack.grant_permissions(agency, [granted((clusters[0], "a"), "dev", is_ram_role=True)])
    assert described(ack, agency) == [shown((clusters[0], "a"), "dev", ram_role=1)]
    ack.clean_user_permissions(agency, force=True)
    assert described(ack, agency) == []


@BOTH
def test_cleaning_takes_everything_or_what_is_in_some_clusters(bailiwick, ack, user, clusters):
    first, second = clusters
    rows = [granted(first, "dev"), granted((second, "a"), "dev")]
    ack.grant_permissions(user, rows)
    for force in (None, False):
        # Nobody knows whether they were at work there.
        with pytest.raises(Refused) as refused:
            ack.clean_user_permissions(user, force=force)
        assert (refused.value.status, refused.value.code) == (409, "Conflict")
        assert "not known whether" in refused.value.message
        with pytest.raises(Refused):
            ack.clean_cluster_user_permissions(first, user, force=force)
    assert len(described(ack, user)) == 2

    answer = ack.clean_user_permissions(user, [first], force=True)
    assert answer.status == 200
    assert answer.body["request_id"] == answer.headers["x-acs-request-id"]
    assert re.fullmatch(f"clean-user-permissions-{user}-[0-9a-f]+", answer.body["task_id"])
    assert described(ack, user) == [shown((second, "a"), "dev")]
    ack.clean_cluster_user_permissions(second, user, force=True)
    assert described(ack, user) == []

    ack.grant_permissions(user, rows)
    ack.clean_user_permissions(user, [first, second], force=True)
    assert described(ack, user) == []
    ack.grant_permissions(user, [*rows, granted(None, "restricted")])
    ack.clean_user_permissions(user, force=True)
    assert described(ack, user) == []


@BOTH
def test_every_spelling_of_a_query_is_understood(bailiwick, user, clusters):
    first, second = clusters
    path = f"/users/{user}/permissions"
    for force in ("true", "True", "TRUE"):
        for names in (
            f"ClusterIds={first}%2C{second}",
            f"ClusterIds={first},{second}",
            f"ClusterIds.1={first}&ClusterIds.2={second}",
            f"RegionId=cn-hangzhou&ClusterIds={first},{second}",
        ):
            rows = [granted(first, "dev"), granted(second, "dev")]
            assert raw(bailiwick, "POST", f"/permissions/users/{user}", rows).status == 200
            answer = raw(bailiwick, "DELETE", f"{path}?{names}&Force={force}")
            assert answer.status == 200, (names, force, answer)
            assert raw(bailiwick, "GET", f"/permissions/users/{user}").json() == [], (names, force)
    assert raw(bailiwick, "POST", f"/permissions/users/{user}", rows).status == 200
    for query in (
        "Force=yes",
        "Force=",
        f"Force=true&Force=false&ClusterIds={first}",
        f"Force=true&ClusterIds={first}&ClusterIds={second}",
        f"Force=true&ClusterIds={first}&ClusterIds.1={second}",
        # Variables that were not set must not make it about everything.
        "Force=true&ClusterIds=",
        f"Force=true&ClusterIds={first},",
    ):
        assert raw(bailiwick, "DELETE", f"{path}?{query}").status == 400, query
    assert len(raw(bailiwick, "GET", f"/permissions/users/{user}").json()) == 2


@BOTH
def test_the_bytes_are_those_that_every_client_can_read(bailiwick, user, clusters):
    path = f"/permissions/users/{user}"
    granting = raw(bailiwick, "POST", path, [granted((clusters[0], "a"), "dev"), granted(clusters[1], "ops")])
    cleaning = raw(bailiwick, "DELETE", f"/cluster/{clusters[1]}/user/{user}/permissions?Force=true")
    describing = raw(bailiwick, "GET", path)
    assert granting.body == b""
    for answer in (granting, cleaning, describing):
        assert answer.status == 200, answer
        if answer.body:
            assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert REQUEST_ID.fullmatch(answer.headers["x-acs-request-id"])
        assert "Content-Encoding" not in answer.headers
        assert "x-acs-retry-after" not in answer.headers
    assert cleaning.json() == {}
    rows = describing.json()
    assert rows == [shown((clusters[0], "a"), "dev")]
    assert [type(rows[0][flag]) for flag in ("is_owner", "is_ram_role")] == [int, int]
    assert describing.body.startswith(b"[{")
    assert b"parent_id" not in describing.body


@BOTH
def test_a_refusal_has_code_words_status_and_id_for_every_client(bailiwick, ack_client, user, clusters):
    stranger = bailiwick.add_user()
    key = bailiwick.add_key(stranger)
    for call, action in (
        (lambda client: client.describe_user_permission(user), "cs:GetUserPermissions"),
        (lambda client: client.grant_permissions(user, []), "cs:GrantPermission"),
        (lambda client: client.update_user_permissions(user, [], "patch"), "cs:UpdateUserPermissions"),
        (lambda client: client.clean_user_permissions(user, force=True), "cs:CleanUserPermissions"),
        (
            lambda client: client.clean_cluster_user_permissions(clusters[0], user, force=True),
            "cs:CleanClusterUserPermissions",
        ),
        (lambda client: client.describe_clusters(), "cs:DescribeClusters"),
        (lambda client: client.describe_clusters_v1(), "cs:DescribeClustersV1"),
        (lambda client: client.describe_clusters_for_region("cn-hangzhou"), "cs:DescribeClustersForRegion"),
        (lambda client: client.describe_cluster_detail(clusters[0]), "cs:DescribeClusterDetail"),
        (lambda client: client.describe_user_cluster_namespaces(clusters[0]), "cs:DescribeUserClusterNamespaces"),
    ):
        with pytest.raises(Refused) as caught:
            call(ack_client(key))
        refused = caught.value
        assert (refused.status, refused.code) == (403, "StatusForbidden"), action
        assert f"RAM policy Forbidden for action {action}" in refused.message
        assert REQUEST_ID.fullmatch(refused.request_id)
        if type(ack_client(key)).__name__ != "OldClient":
            assert refused.detail["AuthAction"] == action
            assert refused.detail["NoPermissionType"] == "ImplicitDeny"
    body = acs3.send(bailiwick.base, key, "GET", f"/permissions/users/{user}").json()
    for upper, lower in (("Code", "code"), ("Message", "message"), ("RequestId", "requestId")):
        assert body[upper] == body[lower]
    assert body["status"] == 403


@BOTH
def test_an_unknown_holder_has_nothing_and_can_be_given_nothing(ack, clusters):
    unknown = f"2175{secrets.randbelow(10**12):012}"
    assert described(ack, unknown) == []
    for call in (
        lambda: ack.grant_permissions(unknown, [granted(clusters[0], "dev")]),
        lambda: ack.grant_permissions(unknown, []),
        lambda: ack.update_user_permissions(unknown, [], "delete"),
        lambda: ack.clean_user_permissions(unknown, force=True),
        lambda: ack.clean_cluster_user_permissions(clusters[0], unknown, force=True),
    ):
        with pytest.raises(Refused) as refused:
            call()
        assert (refused.value.status, refused.value.code) == (400, "ErrorUserNotFound")
        assert unknown in refused.value.message
