"""The access-policy API as the vendor's unmodified SDK sees it, on both databases."""

import re
import secrets

import huaweicloudsdkcce.v3 as cce
import pytest
import yaml
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

BOTH = pytest.mark.parametrize("bailiwick", ["sqlite", "postgres"], indirect=True, scope="module")
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
PATH = "/api/v3/access-policies"


@pytest.fixture(scope="module")
def policies(bailiwick):
    return bailiwick.policies()


@pytest.fixture(scope="module")
def user(bailiwick):
    return bailiwick.add_user()


@pytest.fixture(scope="module")
def detached(bailiwick):
    """Two clusters without connection: what this module looks at happens before any cluster."""
    return [bailiwick.add_cluster(), bailiwick.add_cluster()]


@BOTH
def test_the_sdk_creates_shows_lists_updates_and_deletes_a_policy(policies, user, detached):
    asked = {
        "name": "test-access.policy",
        "clusters": detached[:1],
        "namespaces": ["default", "shop"],
        "policy_type": "CCEEditPolicy",
        "ids": [user],
    }
    created = policies.create(**asked)
    assert created.status_code == 201
    assert UUID.fullmatch(created.policy_id)
    assert (created.kind, created.api_version) == ("AccessPolicy", "v3")
    assert (created.name, created.clusters, created.policy_type) == (asked["name"], detached[:1], "CCEEditPolicy")
    assert created.access_scope.namespaces == ["default", "shop"]
    assert (created.principal.type, created.principal.ids) == ("user", [user])
    assert RFC_3339.fullmatch(str(created.create_time))
    assert RFC_3339.fullmatch(str(created.update_time))

    shown = policies.get(created.policy_id)
    assert shown.status_code == 200
    assert shown.to_dict() == created.to_dict()

    listed = policies.list()
    assert (listed.status_code, listed.kind, listed.api_version) == (200, "List", "v3")
    assert [one.to_dict() for one in listed.access_policy_list if one.policy_id == created.policy_id] == [
        shown.to_dict()
    ]

    updated = policies.update(created.policy_id, **{**asked, "name": "renamed", "policy_type": "CCEViewPolicy"})
    assert updated.status_code == 200
    assert (updated.policy_id, updated.name, updated.policy_type) == (created.policy_id, "renamed", "CCEViewPolicy")
    assert updated.create_time == created.create_time
    assert policies.get(created.policy_id).to_dict() == updated.to_dict()

    assert policies.delete(created.policy_id).status_code == 204
    assert created.policy_id not in policies.ids()
    refused(404, "CCE.01404001", lambda: policies.get(created.policy_id))


@BOTH
def test_names_need_not_be_unique(policies, user):
    first, second = (policies.create(name="twin", ids=[user]).policy_id for _ in range(2))
    assert first != second
    assert {first, second} <= set(policies.ids())


@BOTH
@pytest.mark.parametrize("kind, add", [("user", "add_user"), ("group", "add_group"), ("agency", "add_agency")])
@pytest.mark.parametrize("policy_type", ["CCEClusterAdminPolicy", "CCEAdminPolicy", "CCEEditPolicy", "CCEViewPolicy"])
def test_every_principal_type_and_policy_type_comes_back_as_it_was_sent(bailiwick, policies, kind, add, policy_type):
    principal = getattr(bailiwick, add)()
    created = policies.create(policy_type=policy_type, kind=kind, ids=[principal])
    shown = policies.get(created.policy_id)
    assert (shown.policy_type, shown.principal.type, shown.principal.ids) == (policy_type, kind, [principal])


def refused(status, code, call):
    """`call` must fail in the SDK's own way. Answers the message that the SDK shows."""
    with pytest.raises(ClientRequestException) as caught:
        call()
    shown = caught.value
    assert (shown.status_code, shown.error_code) == (status, code), shown
    assert shown.error_msg
    assert shown.request_id
    return shown.error_msg


# What the documents forbid, and the field that the error must name.
CONSTRAINTS = {
    "an empty name": ({"name": ""}, "name"),
    "a name of 57 characters": ({"name": "a" * 57}, "name"),
    "a name that begins with a digit": ({"name": "1a"}, "name"),
    "a name that begins with a hyphen": ({"name": "-a"}, "name"),
    "a name that ends with a hyphen": ({"name": "a-"}, "name"),
    "a name with a capital": ({"name": "aB"}, "name"),
    "a name with an underscore": ({"name": "a_b"}, "name"),
    "no clusters": ({"clusters": []}, "clusters"),
    "all clusters beside one": ({"clusters": ["*", "CLUSTER"]}, "clusters"),
    "a cluster that does not exist": ({"clusters": ["8e6bbdd0-1111-11f1-9a54-0255ac10004d"]}, "clusters"),
    "a cluster that cannot exist": ({"clusters": ["a/b"]}, "clusters"),
    "201 clusters": ({"clusters": [f"c-{n}" for n in range(201)]}, "clusters"),
    "no namespaces": ({"namespaces": []}, "namespaces"),
    "all namespaces beside one": ({"namespaces": ["*", "default"]}, "namespaces"),
    "a namespace with a capital": ({"namespaces": ["Default"]}, "namespaces"),
    "a namespace with a dot": ({"namespaces": ["a.b"]}, "namespaces"),
    "a namespace that ends with a hyphen": ({"namespaces": ["a-"]}, "namespaces"),
    "a namespace of 64 characters": ({"namespaces": ["a" * 64]}, "namespaces"),
    "an empty namespace": ({"namespaces": [""]}, "namespaces"),
    "501 namespaces": ({"namespaces": [f"n-{n}" for n in range(501)]}, "namespaces"),
    "an unknown policy type": ({"policy_type": "CCEOwnerPolicy"}, "policyType"),
    "an empty policy type": ({"policy_type": ""}, "policyType"),
    "an unknown principal type": ({"kind": "robot"}, "principal.type"),
    "no principals": ({"ids": []}, "principal.ids"),
    "a principal that does not exist": ({"ids": ["nobody"]}, "principal.ids"),
    "a principal of another type": ({"kind": "group"}, "principal.ids"),
    "everybody": ({"ids": ["*"]}, "principal.ids"),
    "501 principals": ({"ids": [f"u-{n}" for n in range(501)]}, "principal.ids"),
    "another kind": ({"object_kind": "Policy"}, "kind"),
    "another API version": ({"api_version": "v4"}, "apiVersion"),
}


@BOTH
@pytest.mark.parametrize("what", CONSTRAINTS)
def test_a_documented_constraint_is_refused_and_named_and_nothing_changes(policies, user, detached, what):
    change, field = CONSTRAINTS[what]
    fields = {"name": "valid", "clusters": ["*"], "namespaces": ["*"], "ids": [user], **change}
    fields["clusters"] = [detached[0] if one == "CLUSTER" else one for one in fields["clusters"]]
    existing = policies.create(name="stays", ids=[user])
    before = policies.list().to_dict()
    for call in (lambda: policies.create(**fields), lambda: policies.update(existing.policy_id, **fields)):
        assert field in refused(400, "CCE.01400001", call)
    assert policies.list().to_dict() == before
    policies.delete(existing.policy_id)


@BOTH
def test_the_largest_lists_that_the_documents_allow_are_accepted(bailiwick, policies, user):
    namespaces = [f"n-{n}" for n in range(500)]
    created = policies.create(name="a" * 56, namespaces=namespaces, ids=[user])
    assert policies.get(created.policy_id).access_scope.namespaces == namespaces
    policies.delete(created.policy_id)


@BOTH
@pytest.mark.parametrize("policy_id", ["402358e8-2e3a-4531-bae7-fe9cba14d0d1", "nothing", "x" * 200])
def test_an_unknown_policy_is_not_found(policies, user, policy_id):
    for call in (
        lambda: policies.get(policy_id),
        lambda: policies.delete(policy_id),
        lambda: policies.update(policy_id, ids=[user]),
    ):
        refused(404, "CCE.01404001", call)


@BOTH
def test_the_cluster_filter_keeps_policies_of_that_cluster_and_of_all(policies, user, detached):
    first, second = detached
    everywhere = policies.create(ids=[user]).policy_id
    only_first = policies.create(clusters=[first], ids=[user]).policy_id
    both = policies.create(clusters=[first, second], ids=[user]).policy_id
    made = {everywhere, only_first, both}
    assert made & set(policies.ids(first)) == made
    assert made & set(policies.ids(second)) == {everywhere, both}
    assert made & set(policies.ids("no-such-cluster")) == {everywhere}
    assert made <= set(policies.ids())
    refused(400, "CCE.01400001", lambda: policies.list(""))


@BOTH
def test_policy_is_an_alias_of_policy_type(bailiwick, user):
    client = bailiwick.client()
    body = {
        "name": "alias",
        "clusters": ["*"],
        "accessScope": {"namespaces": ["*"]},
        "principal": {"type": "user", "ids": [user]},
    }
    assert client.call("POST", PATH, {**body, "policy": "CCEEditPolicy"}, status=201)["policyType"] == "CCEEditPolicy"
    both = {**body, "policy": "CCEEditPolicy", "policyType": "CCEEditPolicy"}
    assert client.call("POST", PATH, both, status=201)["policyType"] == "CCEEditPolicy"
    answer = client.request("POST", PATH, {**both, "policy": "CCEViewPolicy"})
    assert answer.status == 400
    assert "policy" in answer.json()["error_msg"]
    answer = client.request("POST", PATH, body)
    assert answer.status == 400
    assert "policyType" in answer.json()["error_msg"]


@BOTH
def test_a_policy_id_in_the_body_may_only_repeat_the_one_in_the_path(bailiwick, policies, user):
    client, created = bailiwick.client(), policies.create(ids=[user])
    body = {
        "kind": "AccessPolicy",
        "apiVersion": "v3",
        "name": "a",
        "clusters": ["*"],
        "policyType": "CCEViewPolicy",
        "accessScope": {"namespaces": ["*"]},
        "principal": {"type": "user", "ids": [user]},
    }
    path = f"{PATH}/{created.policy_id}"
    assert client.request("PUT", path, {**body, "policyId": created.policy_id}).status == 200
    answer = client.request("PUT", path, {**body, "policyId": "402358e8-2e3a-4531-bae7-fe9cba14d0d1"})
    assert answer.status == 400
    assert "policyId" in answer.json()["error_msg"]
    assert client.request("POST", PATH, {**body, "policyId": "402358e8-2e3a-4531-bae7-fe9cba14d0d1"}).status == 400


@BOTH
def test_answers_are_json_or_yaml_as_asked(bailiwick, policies, user):
    created, client = policies.create(ids=[user]), bailiwick.client()
    for path in (PATH, f"{PATH}/{created.policy_id}"):
        plain = client.request("GET", path)
        assert plain.headers["Content-Type"].startswith("application/json")
        asked = client.request("GET", path, extra=[("Accept", "application/yaml")])
        assert asked.headers["Content-Type"].startswith("application/yaml")
        assert yaml.load(asked.body, yaml.BaseLoader) == plain.json()


@pytest.mark.parametrize(
    "reading, roles",
    [
        ("", {"CCEClusterAdminPolicy": "administrator", "CCEAdminPolicy": "operator"}),
        ('[cce]\npolicy_types = "2025-08"\n', {"CCEClusterAdminPolicy": "operator", "CCEAdminPolicy": "administrator"}),
    ],
)
def test_both_readings_of_the_two_administrator_policies_can_be_had(new_server, reading, roles):
    server = new_server(config=reading).start()
    user, policies = server.add_user(), server.policies()
    for policy_type, role in {**roles, "CCEEditPolicy": "developer", "CCEViewPolicy": "viewer"}.items():
        created = policies.create(policy_type=policy_type, ids=[user])
        assert server.grant(created.policy_id)["role"] == role
        assert policies.get(created.policy_id).policy_type == policy_type


def test_a_custom_role_is_shown_in_a_form_that_comes_back(new_server):
    server = new_server().start()
    user, policies = server.add_user(), server.policies()
    for role in ("custom:team:deployers", "administrator-view"):
        grant = server.client().call(
            "POST",
            "/bailiwick/v1/grants",
            {
                "name": "native",
                "role": role,
                "principals": {"type": "user", "ids": [user]},
                "clusters": ["*"],
                "namespaces": ["*"],
            },
            status=201,
        )
        shown = policies.get(grant["id"])
        assert shown.policy_type.startswith("custom:")
        policies.update(grant["id"], policy_type=shown.policy_type, ids=[user])
        assert server.grant(grant["id"])["role"] == role


def test_the_sdk_finds_its_clusters(bailiwick):
    sdk = bailiwick.policies().client
    name = f"shown-{secrets.token_hex(3)}"
    cluster = bailiwick.add_cluster(name=name)
    listed = sdk.list_clusters(cce.ListClustersRequest())
    assert (listed.kind, listed.api_version) == ("Cluster", "v3")
    assert {one.metadata.uid: one.metadata.name for one in listed.items}[cluster] == name
    shown = sdk.show_cluster(cce.ShowClusterRequest(cluster_id=cluster))
    assert (shown.metadata.uid, shown.metadata.name, shown.kind) == (cluster, name, "Cluster")
    refused(404, "CCE.01404001", lambda: sdk.show_cluster(cce.ShowClusterRequest(cluster_id="none")))
