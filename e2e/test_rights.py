"""Who may do what. Until there are identity policies: administrators everything, everybody else nothing."""

import json
import secrets

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

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
