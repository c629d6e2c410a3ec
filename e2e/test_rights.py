"""Who may do what: administrators everything, everybody else what policies say, and grants only where they administer."""

import json
import secrets

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness.ack import Refused, SyncClient, granted

PATH = "/api/v3/access-policies"


def policy_for(user, policy_type="CCEViewPolicy"):
    return {
        "name": "rights",
        "clusters": ["*"],
        "accessScope": {"namespaces": ["*"]},
        "policyType": policy_type,
        "principal": {"type": "user", "ids": [user]},
    }


def operations(server, user, policy, cluster):
    """Every operation that this version serves: (method, path, body)."""
    grant = {
        "name": "n",
        "role": "viewer",
        "principals": {"type": "user", "ids": [user]},
        "clusters": ["*"],
        "namespaces": ["*"],
    }
    rows = [
        ("POST", PATH, policy_for(user)),
        ("GET", PATH, None),
        ("GET", f"{PATH}/{policy}", None),
        ("PUT", f"{PATH}/{policy}", policy_for(user, "CCEClusterAdminPolicy")),
        ("DELETE", f"{PATH}/{policy}", None),
        ("GET", f"/api/v3/projects/{server.project}/clusters", None),
        ("GET", f"/api/v3/projects/{server.project}/clusters/{cluster}", None),
        ("GET", "/v3/projects", None),
        ("GET", "/v3/auth/projects", None),
        ("GET", "/v3/auth/domains", None),
    ]
    native = [
        ("POST", "grants", grant),
        ("PUT", f"grants/{policy}", grant),
        ("DELETE", f"grants/{policy}", None),
        ("GET", f"grants/{policy}", None),
        ("POST", "access-keys", {"user": server.root}),
        ("POST", "access-keys", {"user": user}),
        ("GET", "access-keys", None),
        ("DELETE", f"access-keys/{server.key_id}", None),
        ("PATCH", f"access-keys/{server.key_id}", {"enabled": False}),
        ("PUT", f"users/{server.root}/password", {"password": "Another-1"}),
        ("PUT", f"groups/administrators/members/{user}", None),
        ("DELETE", f"groups/administrators/members/{server.root}", None),
        ("GET", "groups/administrators", None),
        ("DELETE", f"users/{user}", None),
        ("GET", f"users/{user}", None),
        ("DELETE", f"clusters/{cluster}", None),
        ("GET", f"clusters/{cluster}", None),
        ("GET", "grants", None),
    ]
    native += [
        (method, noun, {"name": "by-nobody"} if method == "POST" else None)
        for method in ("GET", "POST")
        for noun in ("users", "groups", "agencies", "clusters", "projects", "enterprise-projects")
    ]
    return rows + [(method, f"/bailiwick/v1/{path}", body) for method, path, body in native]


def test_who_is_no_administrator_may_do_nothing(bailiwick):
    client = bailiwick.client()
    user, cluster = bailiwick.add_user(), bailiwick.add_cluster()
    policy = bailiwick.policies().create(ids=[user], policy_type="CCEClusterAdminPolicy").policy_id
    key = bailiwick.add_key(user)
    person = bailiwick.client(key)
    before = client.call("GET", f"/bailiwick/v1/grants/{policy}")
    rows = operations(bailiwick, user, policy, cluster)
    allowed = [
        (method, path, answer.status)
        for method, path, body in rows
        if (answer := person.request(method, path, body)).status != 403
    ]
    assert not allowed
    with pytest.raises(ClientRequestException) as caught:
        bailiwick.policies(key).list()
    assert (caught.value.status_code, caught.value.error_code) == (403, "CCE.01403001")
    assert caught.value.error_msg
    after = client.call("GET", f"/bailiwick/v1/grants/{policy}")
    assert (after["role"], after["principals"], after["generation"]) == (
        before["role"],
        before["principals"],
        before["generation"],
    )


def test_a_member_of_administrators_may_until_taken_out(bailiwick):
    user = bailiwick.add_user()
    policies = bailiwick.policies(bailiwick.add_key(user))
    bailiwick.do("group", "add-member", "administrators", user)
    created = policies.create(ids=[user])
    assert created.status_code == 201
    policies.delete(created.policy_id)
    bailiwick.do("group", "remove-member", "administrators", user)
    with pytest.raises(ClientRequestException) as caught:
        policies.list()
    assert caught.value.status_code == 403


def test_the_command_line_creates_what_it_says_and_shows_how_to_sign(bailiwick):
    chosen = f"id-{secrets.token_hex(6)}"
    assert bailiwick.cli("user", "create", "--id", chosen, f"name-{chosen}")["id"] == chosen
    group = bailiwick.cli("group", "create", f"group-{chosen}")["id"]
    bailiwick.do("group", "add-member", group, f"name-{chosen}")
    agency = bailiwick.cli("agency", "create", f"agency-{chosen}")["id"]
    key = bailiwick.cli("key", "create", chosen)
    assert key["accessKeyId"]
    assert key["secretAccessKey"]
    members = bailiwick.client().call("GET", f"/bailiwick/v1/groups/{group}")["members"]
    assert [member["id"] for member in members] == [chosen]
    assert agency
    assert json.loads(bailiwick.do("call", "GET", PATH))["kind"] == "List"
    assert "curl" in bailiwick.do("call", "GET", PATH, "--print", "curl")
    refused = bailiwick.run("call", "GET", f"{PATH}/nothing")
    assert refused.returncode == 1
    assert bailiwick.run("user", "no-such-verb").returncode == 2


ROLES = {
    "administrator": "CCEClusterAdminPolicy",
    "operator": "CCEAdminPolicy",
    "developer": "CCEEditPolicy",
    "viewer": "CCEViewPolicy",
}


def native_grant(user, role, clusters):
    return {
        "role": role,
        "principals": {"type": "user", "ids": [user]},
        "clusters": clusters,
        "namespaces": ["*"],
    }


ACK_ROLES = {"administrator": "admin", "operator": "ops", "developer": "dev", "viewer": "restricted"}


def ways_by_user(server, key, role, clusters):
    """Every way in which the second vendor's clients change what a user holds, and the command line what a user held:
    name, and whether anything changed. Each on a user of its own."""
    root, mine = SyncClient(server.base, (server.key_id, server.secret)), SyncClient(server.base, key)
    places = [None if cluster == "*" else cluster for cluster in clusters]
    rows = [granted(place, ACK_ROLES[role]) for place in places]
    others = [granted(place, "dev" if role == "viewer" else "restricted") for place in places]

    def changed(call, before=()):
        """Whether it changed anything for a user who holds `before`."""
        user = server.add_user()
        if before:
            root.grant_permissions(user, list(before))
        held = root.describe_user_permission(user).body
        try:
            call(user)
        except Refused as refused:
            assert refused.status == 403, refused
            assert root.describe_user_permission(user).body == held
        return root.describe_user_permission(user).body != held

    yield "ACK grant", changed(lambda user: mine.grant_permissions(user, rows))
    yield "ACK replace", changed(lambda user: mine.grant_permissions(user, others), rows)
    yield "ACK apply", changed(lambda user: mine.update_user_permissions(user, others, "apply"), rows)
    yield "ACK patch", changed(lambda user: mine.update_user_permissions(user, others, "patch"), rows)
    yield "ACK delete", changed(lambda user: mine.update_user_permissions(user, rows, "delete"), rows)
    if places == [None]:
        yield "ACK clean", changed(lambda user: mine.clean_user_permissions(user, force=True), rows)
    else:
        listed = lambda user: mine.clean_user_permissions(user, places, force=True)  # noqa: E731
        yield "ACK clean in some clusters", changed(listed, rows)
    if len(places) == 1 and places != [None]:
        single = lambda user: mine.clean_cluster_user_permissions(places[0], user, force=True)  # noqa: E731
        yield "ACK clean one cluster", changed(single, rows)

    def native(method, path, body=None):
        status = server.client(key).request(method, f"/bailiwick/v1/users/{path}", body).status
        assert status == 403 or status < 300, (method, path, status)

    entries = [{"place": {"cluster": place, "namespace": None}, "role": role} for place in places]
    adding, removing = ({"change": change, "permissions": entries} for change in ("add", "remove"))
    yield "native add", changed(lambda user: native("POST", f"{user}/permissions", adding))
    yield "native replace", changed(lambda user: native("PUT", f"{user}/permissions", {"permissions": entries}))
    yield "native remove", changed(lambda user: native("POST", f"{user}/permissions", removing), rows)
    if places == [None]:
        yield "native clean", changed(lambda user: native("DELETE", f"{user}/permissions?force=true"), rows)

    def restored(user, by):
        """Brings back what root took away."""
        root.grant_permissions(user, [])
        history = server.client().call("GET", f"/bailiwick/v1/users/{user}/permissions/history")["items"]
        by(user, history[1]["revision"])

    def by_api(user, revision):
        native("POST", f"{user}/permissions/history/{revision}/restore")

    def by_command(user, revision):
        done = server.run("grant", "restore", user, str(revision), key=key)
        assert done.returncode == 0 or "not allowed" in done.stderr, done.stderr

    # What was restored is what there was before: no change means that it was brought back.
    yield "native restore", not changed(lambda user: restored(user, by_api), rows)
    yield "CLI restore of all", not changed(lambda user: restored(user, by_command), rows)


def ways(server, key, user, role, clusters):
    """Every way to change grants: name, and whether it was let through. Each on a grant of its own."""
    yield from ways_by_user(server, key, role, clusters)
    client, policies = server.client(key), server.policies(key)
    body = native_grant(user, role, clusters)

    def existing():
        """A grant with two versions, by root."""
        made = server.client().call("POST", "/bailiwick/v1/grants", body, status=201)["id"]
        server.client().call("PUT", f"/bailiwick/v1/grants/{made}", {**body, "name": "second"})
        return made

    def sdk(call, *arguments, **fields):
        try:
            call(*arguments, **fields)
        except ClientRequestException as refused:
            assert refused.status_code == 403, refused
            return False
        return True

    def native(method, path, sent=None):
        status = client.request(method, f"/bailiwick/v1/{path}", sent).status
        assert status == 403 or status < 300, (method, path, status)
        return status != 403

    def cli(*arguments):
        done = server.run(*arguments, key=key)
        assert done.returncode == 0 or "not allowed" in done.stderr, done.stderr
        return done.returncode == 0

    wire = {"clusters": clusters, "policy_type": ROLES[role], "ids": [user]}
    where = [part for name in clusters for part in ("--cluster", name)] if clusters != ["*"] else ["--all-clusters"]
    yield "CCE create", sdk(policies.create, **wire)
    yield "CCE update", sdk(policies.update, existing(), **{**wire, "name": "third"})
    yield "CCE delete", sdk(policies.delete, existing())
    yield "native create", native("POST", "grants", body)
    yield "native update", native("PUT", f"grants/{existing()}", {**body, "name": "third"})
    yield "native restore", native("POST", f"grants/{existing()}/history/1/restore")
    yield "native delete", native("DELETE", f"grants/{existing()}")
    yield "CLI create", cli("grant", "create", "--user", user, "--role", role, *where, "--all-namespaces")
    yield "CLI restore", cli("grant", "restore", existing(), "--generation", "1")
    yield "CLI delete", cli("grant", "delete", existing())


def test_no_dialect_lets_who_operates_a_cluster_change_grants_there(bailiwick):
    person, other = bailiwick.add_user(), bailiwick.add_user()
    own, foreign = bailiwick.add_cluster(), bailiwick.add_cluster()
    key = bailiwick.add_key(person)
    statement = {
        "Effect": "Allow",
        "Action": ["bailiwick:grant:*", "bailiwick:user:show", "bailiwick:cluster:*"],
        "Resource": ["*"],
    }
    document = json.dumps({"Version": "5.0", "Statement": [statement]})
    name = f"grants-{secrets.token_hex(4)}"
    bailiwick.do("policy", "create", name, "--document", "-", text=document)
    client = bailiwick.client()
    for policy in [name, *(one["id"] for one in client.all("/bailiwick/v1/policies?origin=shipped"))]:
        bailiwick.do("policy", "attach", policy, "--user", person)
    client.call("POST", "/bailiwick/v1/grants", native_grant(person, "operator", [own]), status=201)
    for role in ROLES:
        for clusters in ([own], ["*"]):
            through = [way for way, passed in ways(bailiwick, key, other, role, clusters) if passed]
            assert not through, (role, clusters)
    client.call("POST", "/bailiwick/v1/grants", native_grant(person, "administrator", [own]), status=201)
    for role in ROLES:
        refused = [way for way, passed in ways(bailiwick, key, other, role, [own]) if not passed]
        assert not refused, role
        for clusters in ([foreign], [own, foreign], ["*"]):
            through = [way for way, passed in ways(bailiwick, key, other, role, clusters) if passed]
            assert not through, (role, clusters)


SHIPPED = {
    "CCE FullAccess": ("cce:accessPolicy:list", "iam:users:listUsers"),
    "CCE ReadOnlyAccess": ("cce:accessPolicy:list", "cce:accessPolicy:post"),
    "CCE Administrator": ("cce:cluster:list", "iam:users:listUsers"),
    "IAM FullAccess": ("iam:users:deleteUser", "cce:accessPolicy:list"),
    "IAM ReadOnlyAccess": ("iam:users:listUsers", "iam:users:deleteUser"),
    "HSS FullAccess": (None, "cce:accessPolicy:list"),
    "HSS ReadOnlyAccess": (None, "cce:accessPolicy:list"),
    "Tenant Administrator": ("iam:users:deleteUser", None),
    "Tenant Guest": ("cce:cluster:list", "iam:users:listUsers"),
    "AliyunCSFullAccess": ("cs:DescribeClusters", "iam:users:listUsers"),
    "AliyunCSReadOnlyAccess": ("cs:DescribeClusters", "cs:GrantPermission"),
    "AliyunSTSAssumeRoleAccess": (None, "cs:DescribeClusters"),
}
"""For each shipped policy an action that it allows and one that it does not; nothing of HSS and of RAM's STS asks yet."""


def test_every_shipped_policy_allows_what_it_should_and_no_more(bailiwick):
    client = bailiwick.client()
    shipped = client.call("GET", "/bailiwick/v1/policies?origin=shipped")["items"]
    assert {policy["name"] for policy in shipped} == set(SHIPPED)
    for policy in shipped:
        user = bailiwick.add_user()
        client.call("PUT", f"/bailiwick/v1/policies/{policy['id']}/users/{user}", status=204)

        def asked(action, user=user):
            body = {"principal": {"type": "user", "id": user}, "action": action}
            return client.call("POST", "/bailiwick/v1/authorize", body)["effect"]

        allowed, refused = SHIPPED[policy["name"]]
        assert not allowed or asked(allowed) == "allow", policy["name"]
        assert not refused or asked(refused) == "default-deny", policy["name"]
