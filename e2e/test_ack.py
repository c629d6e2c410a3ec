"""The second vendor's permissions as its unmodified SDK sees them, on both databases, and in a real cluster."""

import asyncio
import secrets

import pytest
from alibabacloud_cs20151215 import models
from alibabacloud_tea_openapi.exceptions import ClientException

from harness.alibaba_sdk import clusters_client
from harness.process import until

BOTH = pytest.mark.parametrize("bailiwick", ["sqlite", "postgres"], indirect=True, scope="module")
SCHEMES = pytest.mark.parametrize("scheme", [None, "v2"])
UNPROTECTED = {"BAILIWICK_ALIBABA_ALLOW_UNPROTECTED_BODY": "true"}


def client_of(bailiwick, key=None, **options):
    return clusters_client(bailiwick.base, key or (bailiwick.key_id, bailiwick.secret), **options)


@pytest.fixture(scope="module")
def ack(bailiwick):
    return client_of(bailiwick)


@pytest.fixture(scope="module")
def detached(bailiwick):
    """Two clusters without connection: what these tests look at happens before any cluster."""
    return [bailiwick.add_cluster(), bailiwick.add_cluster()]


@pytest.fixture
def user(bailiwick):
    return bailiwick.add_user()


def granted(cluster="", role_name="dev", role_type="cluster", **more):
    return {"cluster": cluster, "role_name": role_name, "role_type": role_type, **more}


def to_grant(*rows):
    return models.GrantPermissionsRequest(body=[models.GrantPermissionsRequestBody(**row) for row in rows])


def to_update(mode, *rows):
    body = [models.UpdateUserPermissionsRequestBody(**row) for row in rows]
    return models.UpdateUserPermissionsRequest(body=body, mode=mode)


def shown(ack, uid):
    return ack.describe_user_permission(uid).to_map()["body"]


def row(resource_id, role_type, resource_type="cluster", role_name=None, is_owner=0, is_ram_role=0):
    return {
        "resource_id": resource_id,
        "resource_type": resource_type,
        "role_name": role_name or role_type,
        "role_type": role_type,
        "is_owner": is_owner,
        "is_ram_role": is_ram_role,
    }


def allow_everything(bailiwick, user):
    """A policy for all of this service: what is left is what roles in clusters decide."""
    statement = {"Effect": "Allow", "Action": ["cs:*"], "Resource": ["*"]}
    body = {"name": f"cs-{secrets.token_hex(4)}", "document": {"Version": "1", "Statement": [statement]}}
    policy = bailiwick.client().call("POST", "/bailiwick/v1/policies", body, status=201)["id"]
    bailiwick.client().call("PUT", f"/bailiwick/v1/policies/{policy}/users/{user}")


def refused(status, code, call):
    """`call` must fail in the SDK's own way. Answers the exception."""
    with pytest.raises(ClientException) as caught:
        call()
    assert (caught.value.status_code, caught.value.code) == (status, code), caught.value
    assert caught.value.request_id
    return caught.value


@BOTH
def test_the_sdk_grants_updates_describes_and_cleans(ack, user, detached):
    one, other = sorted(detached)
    assert shown(ack, user) == []
    rows = (
        granted(one, "ops", namespace=""),
        granted(other, "restricted", "namespace", namespace="shop"),
        granted(other, "terway-pod-reader", is_custom=True),
        granted("", "dev", "all-clusters", is_ram_role=True),
    )
    answer = ack.grant_permissions(user, to_grant(*rows))
    assert answer.status_code == 200
    everywhere = row("all-clusters", "dev", "console")
    ops, reader = row(one, "ops"), row(other, "custom", role_name="terway-pod-reader")
    shop = row(f"{other}/shop", "restricted", "namespace")
    assert shown(ack, user) == [everywhere, ops, reader, shop]

    ack.update_user_permissions(user, to_update("patch", granted(one, "admin")))
    assert shown(ack, user) == [everywhere, row(one, "admin"), reader, shop]
    ack.update_user_permissions(user, to_update("delete", granted(other, "terway-pod-reader", is_custom=True)))
    assert shown(ack, user) == [everywhere, row(one, "admin"), shop]
    ack.update_user_permissions(user, to_update(None, granted(one, "dev"), granted(other, "dev")))
    assert shown(ack, user) == [row(one, "dev"), row(other, "dev")]

    cleaned = ack.clean_cluster_user_permissions(one, user, models.CleanClusterUserPermissionsRequest(force=True))
    assert cleaned.status_code == 200
    assert shown(ack, user) == [row(other, "dev")]
    request = models.CleanUserPermissionsRequest(cluster_ids=[one, other], force=True)
    cleaned = ack.clean_user_permissions(user, request)
    assert cleaned.body.task_id.startswith(f"clean-user-permissions-{user}-")
    assert cleaned.body.request_id == cleaned.headers["x-acs-request-id"]
    assert shown(ack, user) == []


@BOTH
def test_both_vendors_dialects_are_about_the_same_grants(bailiwick, ack, detached):
    policies, agency = bailiwick.policies(), bailiwick.add_agency()
    cluster = detached[0]
    ack.grant_permissions(agency, to_grant(granted(cluster, "dev", "namespace", namespace="shop")))
    found = [one for one in policies.list().access_policy_list if one.principal.ids == [agency]]
    assert [(one.policy_type, one.clusters, one.access_scope.namespaces) for one in found] == [
        ("CCEEditPolicy", [cluster], ["shop"])
    ]
    policies.create(policy_type="CCEClusterAdminPolicy", clusters=[cluster], namespaces=["*"], kind="agency", ids=[agency])
    assert shown(ack, agency) == [
        row(cluster, "admin", is_ram_role=1),
        row(f"{cluster}/shop", "dev", "namespace", is_ram_role=1),
    ]
    ack.grant_permissions(agency, to_grant())
    assert shown(ack, agency) == []
    assert not [one for one in policies.list().access_policy_list if one.principal.ids == [agency]]


@BOTH
def test_a_caller_sees_only_clusters_that_they_administer(bailiwick, ack, user, detached):
    one, other = sorted(detached)
    ack.grant_permissions(user, to_grant(granted(one), granted(other)))
    reader = bailiwick.add_user()
    key = bailiwick.add_key(reader)
    mine = client_of(bailiwick, key)
    error = refused(403, "StatusForbidden", lambda: mine.describe_user_permission(user))
    assert "RAM policy Forbidden for action cs:GetUserPermissions" in error.message
    assert error.access_denied_detail["AuthAction"] == "cs:GetUserPermissions"
    assert error.access_denied_detail["NoPermissionType"] == "ImplicitDeny"
    allow_everything(bailiwick, reader)
    assert shown(mine, user) == []
    refused(403, "ForbiddenGrantPermissions", lambda: mine.grant_permissions(user, to_grant(granted(one))))
    ack.grant_permissions(reader, to_grant(granted(one, "admin")))
    assert shown(mine, user) == [row(one, "dev")]
    mine.grant_permissions(user, to_grant(granted(one, "ops")))
    assert shown(mine, user) == [row(one, "ops")]
    assert shown(ack, user) == [row(one, "ops"), row(other, "dev")]


@BOTH
def test_the_sdk_reads_why_a_request_is_refused(bailiwick, ack, user, detached):
    cluster = detached[0]
    for rows, status, code, said in (
        ([granted(cluster, "admin", "namespace", namespace="a")], 400, "InvalidParameter", "[0].role_name"),
        ([granted(cluster), granted(cluster, "owner")], 400, "InvalidParameter", "[1].role_name"),
        ([granted("c" + "0" * 32)], 404, "ErrorClusterNotFound", "does not exist"),
    ):
        error = refused(status, code, lambda rows=rows: ack.grant_permissions(user, to_grant(*rows)))
        assert said in error.message
    error = refused(400, "ErrorUserNotFound", lambda: ack.grant_permissions("nobody", to_grant(granted(cluster))))
    assert "nobody" in error.message
    assert shown(ack, "nobody") == []
    ack.grant_permissions(user, to_grant(granted(cluster)))
    unforced = models.CleanUserPermissionsRequest()
    assert "7 days" in refused(409, "Conflict", lambda: ack.clean_user_permissions(user, unforced)).message
    group = bailiwick.add_group(user)
    policies = bailiwick.policies()
    policies.create(policy_type="CCEEditPolicy", clusters=[cluster], namespaces=["*"], kind="group", ids=[group])
    error = refused(
        409, "Conflict", lambda: ack.update_user_permissions(user, to_update("delete", granted(cluster)))
    )
    assert group in error.message
    forced = models.CleanUserPermissionsRequest(force=True)
    assert group in refused(409, "Conflict", lambda: ack.clean_user_permissions(user, forced)).message


@BOTH
def test_the_sdk_lists_and_shows_clusters(bailiwick, ack, detached):
    mine = sorted(detached)
    listed = {one.cluster_id: one for one in ack.describe_clusters(models.DescribeClustersRequest()).body}
    assert set(mine) <= set(listed)
    found, number = [], 1
    while True:
        request = models.DescribeClustersV1Request(page_number=number, page_size=1)
        page = ack.describe_clusters_v1(request).body
        if not page.clusters:
            break
        found += [one.cluster_id for one in page.clusters]
        number += 1
    assert sorted(found) == sorted(listed)
    detail = ack.describe_cluster_detail(mine[0]).body
    assert (detail.cluster_id, detail.state, detail.cluster_type) == (mine[0], "waiting", "ExternalKubernetes")
    region = ack.describe_clusters_for_region(detail.region_id, models.DescribeClustersForRegionRequest()).body
    assert mine[0] in [one.cluster_id for one in region.clusters]
    none = ack.describe_clusters_for_region("elsewhere", models.DescribeClustersForRegionRequest()).body
    assert none.clusters == []
    refused(404, "ErrorClusterNotFound", lambda: ack.describe_cluster_detail(bailiwick.cluster(mine[0])["name"]))


@SCHEMES
def test_every_scheme_and_the_asynchronous_client_grant(new_server, scheme):
    server = new_server(environment=UNPROTECTED).start()
    user, cluster = server.add_user(), server.add_cluster()
    ack = client_of(server, **({"signature_algorithm": scheme} if scheme else {}))
    ack.grant_permissions(user, to_grant(granted(cluster, "ops")))
    assert shown(ack, user) == [row(cluster, "ops")]

    async def later():
        if not scheme:
            # By the older scheme that client signs another content type than it sends.
            await ack.grant_permissions_async(user, to_grant(granted(cluster, "dev")))
        return (await ack.describe_user_permission_async(user)).to_map()["body"]

    if not scheme:
        assert asyncio.run(later()) == [row(cluster, "dev")]


def test_what_is_granted_becomes_real_in_the_cluster(bailiwick, cluster, kube, namespace):
    ack, user = client_of(bailiwick), bailiwick.add_user()
    ack.grant_permissions(user, to_grant(granted(cluster, "dev", "namespace", namespace=namespace)))
    kube.until_allowed(user, "create", "pods", namespace)
    ack.update_user_permissions(user, to_update("patch", granted(cluster, "restricted", "namespace", namespace=namespace)))
    kube.until_refused(user, "create", "pods", namespace)
    kube.until_allowed(user, "list", "pods", namespace)
    request = models.CleanUserPermissionsRequest(force=True)
    ack.clean_user_permissions(user, request)
    kube.until_refused(user, "list", "pods", namespace)
    until(lambda: not kube.bindings_naming(user), 10, "no binding names who was cleaned")
    detail = ack.describe_cluster_detail(cluster).body
    assert (detail.state, detail.current_version) == ("running", "1.20.2")


def test_namespaces_are_those_in_which_the_caller_has_a_role(bailiwick, cluster, namespace):
    ack, user = client_of(bailiwick), bailiwick.add_user()
    assert {namespace, "default", "kube-system"} <= set(ack.describe_user_cluster_namespaces(cluster).body)
    mine = client_of(bailiwick, bailiwick.add_key(user))
    allow_everything(bailiwick, user)
    refused(403, "ForbiddenQueryClusterNamespace", lambda: mine.describe_user_cluster_namespaces(cluster))
    gone = granted(cluster, "dev", "namespace", namespace="not-there")
    ack.grant_permissions(user, to_grant(granted(cluster, "dev", "namespace", namespace=namespace), gone))
    assert mine.describe_user_cluster_namespaces(cluster).body == [namespace]
    name = bailiwick.cluster(cluster)["name"]
    refused(404, "ErrorClusterNotFound", lambda: ack.describe_user_cluster_namespaces(name))
