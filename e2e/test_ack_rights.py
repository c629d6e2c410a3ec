"""Who sees and who grants users' permissions: what the identity policies allow, and only where the caller is the cluster's
administrator. By the second vendor's clients; `test_rights.py` tries the same changes by every dialect."""

import json
import secrets

import pytest

from harness.ack import Refused, SyncClient, granted, shown

ALL_OF_CS = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "cs:*", "Resource": "*"}]}

CONSOLE = shown(None, "restricted")


@pytest.fixture(scope="module")
def root(bailiwick):
    return SyncClient(bailiwick.base, (bailiwick.key_id, bailiwick.secret))


@pytest.fixture(scope="module")
def clusters(bailiwick):
    return sorted([bailiwick.add_cluster(), bailiwick.add_cluster()])


@pytest.fixture(scope="module")
def allowed(bailiwick):
    """A policy that allows all of the dialect's actions."""
    name = f"cs-{secrets.token_hex(4)}"
    bailiwick.do("policy", "create", name, "--document", "-", text=json.dumps(ALL_OF_CS))
    return name


@pytest.fixture
def person(bailiwick, allowed):
    """Somebody with all rights of identity policies: (id, key)."""
    user = bailiwick.add_user()
    bailiwick.do("policy", "attach", allowed, "--user", user)
    return user, bailiwick.add_key(user)


@pytest.fixture
def target(bailiwick, root, clusters):
    """Somebody with rights everywhere."""
    user = bailiwick.add_user()
    first, second = clusters
    places = [None, first, (first, "a"), second, (second, "a")]
    root.grant_permissions(user, [granted(place, "restricted") for place in places])
    return user


def rows_in(*places):
    return [shown(place, "restricted") for place in places]


def described(client, uid):
    return client.describe_user_permission(uid).body


def administrator_of(bailiwick, user, clusters, namespaces=("*",)):
    return bailiwick.policies().create(
        clusters=clusters, namespaces=list(namespaces), policy_type="CCEClusterAdminPolicy", ids=[user]
    )


def test_rows_are_seen_where_the_caller_is_the_clusters_administrator(
    ack_client, bailiwick, root, person, target, clusters
):
    first, second = clusters
    name, key = person
    mine = ack_client(key)
    everything = rows_in(None, first, (first, "a"), second, (second, "a"))
    assert described(ack_client(), target) == everything
    assert described(mine, target) == []
    for role, namespaces in (("CCEAdminPolicy", ("*",)), ("CCEClusterAdminPolicy", ("a",))):
        policy = bailiwick.policies().create(
            clusters=[first], namespaces=list(namespaces), policy_type=role, ids=[name]
        ).policy_id
        assert described(mine, target) == [], (role, namespaces)
        bailiwick.policies().delete(policy)

    policy = administrator_of(bailiwick, name, [first]).policy_id
    assert described(mine, target) == rows_in(first, (first, "a"))
    assert described(mine, name) == [shown(first, "admin")]
    root.update_user_permissions(name, [granted(second, "dev")], "patch")
    assert described(mine, name) == [shown(first, "admin")]
    bailiwick.policies().delete(policy)
    assert described(mine, target) == []
    administrator_of(bailiwick, name, ["*"])
    assert described(mine, target) == everything


def test_whoever_owns_a_cluster_sees_and_grants_there(ack_client, bailiwick, person, clusters, target, root):
    name, key = person
    owned = bailiwick.cli("cluster", "add", f"owned-{secrets.token_hex(3)}", "--owner", name)["id"]
    mine = ack_client(key)
    assert described(mine, name) == [shown(owned, "admin", owner=1)]
    assert described(mine, target) == []
    mine.update_user_permissions(target, [granted((owned, "a"), "dev")], "patch")
    assert described(mine, target) == [shown((owned, "a"), "dev")]
    with pytest.raises(Refused) as refused:
        mine.update_user_permissions(target, [granted((owned, "b"), "dev"), granted(clusters[0], "dev")], "patch")
    assert (refused.value.status, refused.value.code) == (403, "ForbiddenGrantPermissions")
    assert described(mine, target) == [shown((owned, "a"), "dev")]
    # Cleaning without clusters is about all of them.
    with pytest.raises(Refused) as refused:
        mine.clean_user_permissions(target, force=True)
    assert (refused.value.status, refused.value.code) == (403, "ForbiddenGrantPermissions")
    # A full replace by somebody who administers one cluster leaves the others as they are.
    mine.grant_permissions(target, [])
    assert described(mine, target) == []
    assert described(root, target) == rows_in(
        None, clusters[0], (clusters[0], "a"), clusters[1], (clusters[1], "a")
    )


def test_an_assumed_role_sees_what_it_administers_and_is_refused_in_its_own_words(
    ack_client, bailiwick, allowed, target, clusters
):
    role = f"role-{secrets.token_hex(4)}"
    agency, user = bailiwick.add_agency(role), bailiwick.add_user()
    statement = {"Effect": "Allow", "Action": ["sts:agencies:assume"], "Principal": {"IAM": [bailiwick.account]}}
    trust = json.dumps({"Version": "5.0", "Statement": [statement]})
    client = bailiwick.client()
    client.call("PATCH", f"/bailiwick/v1/agencies/{agency}", {"trustPolicy": trust})
    assume = {"Version": "5.0", "Statement": [{**statement, "Resource": ["*"]}]}
    del assume["Statement"][0]["Principal"]
    name = f"assume-{secrets.token_hex(4)}"
    bailiwick.do("policy", "create", name, "--document", "-", text=json.dumps(assume))
    bailiwick.do("policy", "attach", name, "--user", user)
    asked = {"agency_urn": f"iam::{bailiwick.account}:agency:{role}", "agency_session_name": "ack"}
    answer = bailiwick.client(bailiwick.add_key(user)).call("POST", "/v5/agencies/assume", asked)
    found = answer["credentials"]
    session = ack_client((found["access_key_id"], found["secret_access_key"]), found["security_token"])
    with pytest.raises(Refused) as refused:
        session.describe_user_permission(target)
    assert (refused.value.status, refused.value.code) == (403, "StatusForbidden")
    assert "STSToken policy Forbidden for action cs:GetUserPermissions" in refused.value.message
    bailiwick.do("policy", "attach", allowed, "--agency", agency)
    assert described(session, target) == []
    bailiwick.policies().create(
        clusters=[clusters[0]], policy_type="CCEClusterAdminPolicy", kind="agency", ids=[agency]
    )
    assert described(session, target) == rows_in(clusters[0], (clusters[0], "a"))
    session.update_user_permissions(target, [granted(clusters[0], "dev")], "patch")
    with pytest.raises(Refused) as refused:
        session.update_user_permissions(target, [granted(clusters[1], "dev")], "patch")
    assert (refused.value.status, refused.value.code) == (403, "ForbiddenGrantPermissions")


def test_who_administers_a_namespace_grants_in_it_and_nothing_outside(
    ack_client, bailiwick, root, person, target, clusters
):
    first, second = clusters
    name, key = person
    mine = ack_client(key)
    before = described(root, target)
    administrator_of(bailiwick, name, [first], namespaces=["a"])
    other = bailiwick.add_user()
    mine.update_user_permissions(other, [granted((first, "a"), "restricted")], "patch")
    mine.update_user_permissions(other, [granted((first, "a"), "dev")], "patch")
    assert described(root, other) == [shown((first, "a"), "dev")]
    for row in (
        granted((first, "b"), "restricted"),
        granted((second, "a"), "restricted"),
        granted(first, "restricted"),
        granted(None, "restricted"),
        granted((first, "a"), "view", is_custom=True),
    ):
        for call in (
            lambda row=row: mine.grant_permissions(other, [granted((first, "a"), "restricted"), row]),
            lambda row=row: mine.update_user_permissions(other, [row], "patch"),
            lambda row=row: mine.update_user_permissions(target, [row], "delete"),
        ):
            with pytest.raises(Refused) as refused:
                call()
            assert (refused.value.status, refused.value.code) == (403, "ForbiddenGrantPermissions"), row
    assert described(root, other) == [shown((first, "a"), "dev")]
    assert described(root, target) == before
    with pytest.raises(Refused) as refused:
        mine.clean_user_permissions(target, force=True)
    assert refused.value.status == 403
    mine.update_user_permissions(other, [granted((first, "a"), "dev")], "delete")
    mine.grant_permissions(target, [])
    assert described(root, other) == []
    assert described(root, target) == rows_in(None, first, second, (second, "a"))


def test_who_administers_nothing_learns_nothing_by_asking_for_changes(ack_client, bailiwick, person, clusters):
    mine, first = ack_client(person[1]), clusters[0]
    target, mark = bailiwick.add_user(), f"secret-{secrets.token_hex(3)}"
    group = bailiwick.add_group(target, name=mark)
    place = {"clusters": [first], "namespaces": ["a"], "policy_type": "CCEEditPolicy"}
    bailiwick.policies().create(name=mark, kind="group", ids=[group], **place)
    bailiwick.policies().create(name=mark, ids=[target, person[0]], **place)
    assert described(mine, target) == []
    row = granted((first, "a"), "dev")
    for call in (
        lambda: mine.clean_user_permissions(target, force=True),
        lambda: mine.clean_user_permissions(target),
        lambda: mine.clean_user_permissions(target, [first], force=True),
        lambda: mine.clean_cluster_user_permissions(first, target, force=True),
        lambda: mine.clean_cluster_user_permissions(first, target),
        lambda: mine.update_user_permissions(target, [row], "delete"),
        lambda: mine.update_user_permissions(target, [row], "patch"),
        lambda: mine.grant_permissions(target, [row]),
    ):
        with pytest.raises(Refused) as refused:
            call()
        assert (refused.value.status, refused.value.code) == (403, "ForbiddenGrantPermissions")
        assert mark not in refused.value.message


def test_the_root_user_and_the_caller_are_not_cleaned(ack_client, bailiwick, person):
    name, key = person
    administrator_of(bailiwick, name, ["*"])
    with pytest.raises(Refused) as refused:
        ack_client(key).clean_user_permissions(name, force=True)
    assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")
    for client in (ack_client(), ack_client(key)):
        with pytest.raises(Refused) as refused:
            client.clean_user_permissions(bailiwick.root, force=True)
        assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")
