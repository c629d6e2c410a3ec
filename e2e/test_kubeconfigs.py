"""Kubeconfigs by certificates that the cluster itself signs: issued, used by kubectl, ended one by one."""

import base64
import datetime
import json
import secrets
import subprocess
import time

import huaweicloudsdkcce.v3 as cce
import pytest
import yaml
from alibabacloud_cs20151215 import models as ack
from alibabacloud_tea_openapi.exceptions import ClientException
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness import acs3, wire
from harness.alibaba_sdk import clusters_client
from harness.kube import RBAC, cluster_role_binding
from harness.process import clean_environment, until
from harness.sdk import cce_client
from harness.server import REPOSITORY
from test_arrival import grant_to

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MANIFEST = REPOSITORY / "deploy/connector/certificates.yaml"

pytestmark = pytest.mark.parametrize("bailiwick", ["sqlite", "postgres"], indirect=True, scope="module")


def kubectl(kubeconfig, *arguments, text=""):
    """(whether it succeeded, what it said)."""
    done = subprocess.run(
        ["kubectl", "--kubeconfig", str(kubeconfig), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(HOME=str(kubeconfig.parent)),
    )
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def operator(api_server, tmp_path_factory):
    """A kubeconfig of somebody who may do everything in the cluster."""
    file = tmp_path_factory.mktemp("operator") / "kubeconfig"
    file.write_text(api_server.kubeconfig, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def signing(bailiwick, api_server, operator):
    """A cluster whose connector may have certificates signed."""
    cluster = bailiwick.add_cluster(api_server)
    assert kubectl(operator, "apply", "-f", str(MANIFEST))[0]
    yield cluster
    assert kubectl(operator, "delete", "-f", str(MANIFEST))[0]


@pytest.fixture
def person(bailiwick):
    """A user with a key and the right to kubeconfigs: (id, key)."""
    user = bailiwick.add_user()
    policy = {"Action": ["bailiwick:certificate:*"], "Effect": "Allow", "Resource": ["*"]}
    document = {"Version": "5.0", "Statement": [policy]}
    name = f"policy-{secrets.token_hex(4)}"
    client = bailiwick.client()
    client.call("POST", "/bailiwick/v1/policies", {"name": name, "document": document}, status=201)
    bailiwick.do("policy", "attach", name, "--user", user)
    return user, bailiwick.add_key(user)


@pytest.fixture
def issue(bailiwick, tmp_path):
    """Issues a kubeconfig by the command line, and writes it to a file: (file, what the API said)."""

    def issue(cluster, *arguments, key=None):
        made = bailiwick.cli("kubeconfig", "issue", cluster, *arguments, key=key)
        file = tmp_path / f"{made['id']}.kubeconfig"
        file.write_text(made["kubeconfig"], encoding="utf-8")
        return file, made

    return issue


def may(kubeconfig, namespace):
    return kubectl(kubeconfig, "auth", "can-i", "get", "pods", "-n", namespace)[0]


def clusters_certificate(kubeconfig):
    """The certificate in a kubeconfig as openssl tells it."""
    user = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["users"][0]["user"]
    pem = base64.b64decode(user["client-certificate-data"])
    command = ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-text"]
    return subprocess.run(command, input=pem, capture_output=True, check=True).stdout.decode()


def test_kubectl_works_until_that_one_kubeconfig_is_revoked(bailiwick, kube, signing, person, issue, namespace):
    user, key = person
    grant = grant_to(bailiwick, user, signing, namespace)
    bailiwick.until_state(grant, signing, "effective")
    began = time.monotonic()
    first, made = issue(signing, key=key)
    until(lambda: may(first, namespace), 2 - (time.monotonic() - began), "kubectl works within 2 seconds")
    second, other = issue(signing, key=key)
    assert made["userName"] == f"{user}:{made['id']}"
    assert made["expiresAt"] <= made["notAfter"]
    text = clusters_certificate(first)
    assert f"subject=CN={user}:{made['id']}\n" in text, "and no groups"
    assert not [one for one in kube.get(CSRS)["items"] if one["metadata"]["name"].startswith("bailiwick-")]
    until(lambda: may(second, namespace), 2, "the second one works")
    assert not may(first, "default"), "nothing but what was granted"

    bailiwick.do("kubeconfig", "revoke", made["id"], key=key)
    until(lambda: not may(first, namespace), 2, "it ends within 2 seconds of its revoke")
    assert may(second, namespace), "the other one goes on"
    assert kube.allowed(user, "get", "pods", namespace), "so do other ways in"
    states = {item["id"]: item["state"] for item in bailiwick.cli("kubeconfig", "list", "--user", user)["items"]}
    assert states == {made["id"]: "revoked", other["id"]: "live"}
    refused = bailiwick.run("kubeconfig", "revoke", made["id"], key=key)
    assert refused.returncode == 1
    assert "is over already" in refused.stderr

    # Who is disabled has nothing any more, and does not get it back by being enabled.
    bailiwick.client().call("PATCH", f"/bailiwick/v1/users/{user}", {"enabled": False})
    until(lambda: not may(second, namespace), 2, "who is disabled is out")
    bailiwick.client().call("PATCH", f"/bailiwick/v1/users/{user}", {"enabled": True})
    third, _ = issue(signing, key=key)
    until(lambda: may(third, namespace), 2, "a new one works")
    assert not may(second, namespace)


def test_a_temporary_kubeconfig_ends_by_itself(bailiwick, signing, person, issue, namespace):
    user, key = person
    bailiwick.until_state(grant_to(bailiwick, user, signing, namespace), signing, "effective")
    began = time.monotonic()
    file, made = issue(signing, "--seconds", "8", key=key)
    assert made["notAfter"] > made["expiresAt"], "this API server does not listen to how long it is to be good"
    until(lambda: may(file, namespace), 2, "it works")
    until(lambda: not may(file, namespace), 12, "it ends")
    assert 7 < time.monotonic() - began < 11
    [listed] = bailiwick.cli("kubeconfig", "list", "--user", user)["items"]
    assert listed["state"] == "expired"


def test_a_groups_grant_reaches_a_member_by_certificate_until_they_leave(
    bailiwick, kube, signing, person, issue, namespace
):
    user, key = person
    group = bailiwick.add_group()
    grant = grant_to(bailiwick, group, signing, namespace, kind="group")
    bailiwick.until_state(grant, signing, "effective")
    file, _ = issue(signing, key=key)
    assert not may(file, namespace)
    bailiwick.do("group", "add-member", group, user)
    until(lambda: may(file, namespace), 2, "whoever joins may")
    bailiwick.do("group", "remove-member", group, user)
    until(lambda: not may(file, namespace), 2, "whoever left may not")
    assert not kube.allowed(user, "get", "pods", namespace), "no other name of the member is bound"


def test_without_the_manifest_the_refusal_names_it_and_nothing_stays(bailiwick, kube, signing, operator, person):
    user, key = person
    assert kubectl(operator, "delete", "-f", str(MANIFEST))[0]
    try:
        # The API server learns of it a moment later.
        until(lambda: "deploy/connector/certificates.yaml" in bailiwick.run("kubeconfig", "issue", signing, key=key).stderr, 5, "it names the manifest")
        refused = bailiwick.run("kubeconfig", "issue", signing, key=key)
        assert refused.returncode == 1
        listed = bailiwick.cli("kubeconfig", "list", "--user", user)["items"]
        assert listed[-1]["state"] == "revoked", "it counts for nothing"
        for live in (one["id"] for one in listed if one["state"] == "live"):
            bailiwick.do("kubeconfig", "revoke", live)
        assert not kube.bindings_naming(user)
    finally:
        assert kubectl(operator, "apply", "-f", str(MANIFEST))[0]


def test_whose_name_others_bind_gets_none_unless_it_is_adopted(bailiwick, kube, signing, issue, namespace):
    mark = f"jenkins-{secrets.token_hex(3)}"
    user = bailiwick.add_user(user_id=mark)
    kube.create(f"{RBAC}/clusterrolebindings", cluster_role_binding(mark, "cluster-admin", mark))
    refused = bailiwick.run("kubeconfig", "issue", signing, "--user", user)
    assert refused.returncode == 1
    assert f"ClusterRoleBinding {mark} names User {mark}" in refused.stderr
    assert "adopt" in refused.stderr
    file, _ = issue(signing, "--user", user, "--adopt")
    assert not may(file, namespace), "what others bound to that name is not given by the certificate"
    kube.delete(f"{RBAC}/clusterrolebindings/{mark}")
    issue(signing, "--user", user)


def test_the_clusters_own_names_are_nobodys(bailiwick, signing):
    user = bailiwick.add_user(user_id="system")
    refused = bailiwick.run("kubeconfig", "issue", signing, "--user", user)
    assert refused.returncode == 1
    assert "`system:`" in refused.stderr


def test_others_are_for_administrators(bailiwick, signing, person):
    _, key = person
    other = bailiwick.add_user()
    refused = bailiwick.run("kubeconfig", "issue", signing, "--user", other, key=key)
    assert refused.returncode == 1
    assert "only the root user and administrators" in refused.stderr
    made = bailiwick.cli("kubeconfig", "issue", signing, "--user", other)
    refused = bailiwick.run("kubeconfig", "revoke", made["id"], key=key)
    assert refused.returncode == 1
    bailiwick.do("kubeconfig", "revoke", made["id"])


def test_a_key_is_in_no_file_of_the_server(bailiwick, signing, person, issue):
    user, key = person
    _, made = issue(signing, key=key)
    held = yaml.safe_load(made["kubeconfig"])["users"][0]["user"]["client-key-data"]
    pem = base64.b64decode(held).decode()
    lines = [held[:60], *pem.splitlines()[1:-1]]
    row = [one for one in bailiwick.cli("audit", "list")["items"] if made["id"] in one["resource"]]
    assert [one["action"] for one in row] == ["bailiwick:certificate:issue"]
    assert row[0]["resource"] == f"cluster/{signing}/user/{user}/certificate/{made['id']}"
    files = [file for file in bailiwick.folder.rglob("*") if file.is_file()]
    assert files
    for file in files:
        content = file.read_bytes()
        assert not [line for line in lines if line.encode() in content], file
    said = bailiwick.process.output() + str(bailiwick.cli("audit", "list"))
    assert not [line for line in lines if line in said]


# --- the vendors' words -----------------------------------------------------------------------------------------


def written(tmp_path, text):
    file = tmp_path / f"{secrets.token_hex(4)}.kubeconfig"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def in_cce(bailiwick, signing):
    """The vendor's own client as somebody: what a call says."""

    def client(key):
        return cce_client(bailiwick.base, *key, project=bailiwick.project)

    return client


def certificate(client, cluster, **body):
    asked = cce.CreateKubernetesClusterCertRequest(cluster_id=cluster, body=cce.ClusterCertDuration(**body))
    return client.create_kubernetes_cluster_cert(asked)


def test_cces_client_has_a_kubeconfig_and_revokes_it(bailiwick, kube, signing, person, in_cce, namespace, tmp_path):
    user, key = person
    bailiwick.until_state(grant_to(bailiwick, user, signing, namespace), signing, "effective")
    client = in_cce(key)
    answer = certificate(client, signing, duration=1)
    assert (answer.kind, answer.current_context) == ("Config", "internal")
    held = answer.users[0].user
    assert held.client_certificate_data
    config = json.dumps(client_shape(answer.to_dict()))
    file = written(tmp_path, config)
    until(lambda: may(file, namespace), 2, "kubectl works with it")
    again = written(tmp_path, json.dumps(client_shape(certificate(client, signing, duration=-1).to_dict())))
    until(lambda: may(again, namespace), 2, "and with another")
    other = bailiwick.add_user()
    with pytest.raises(ClientRequestException) as refused:
        revoke(client, signing, user_id=other)
    assert refused.value.status_code == 403
    assert revoke(client, signing, user_id=user).status_code == 200
    until(lambda: not may(file, namespace) and not may(again, namespace), 2, "both end")
    third = written(tmp_path, json.dumps(client_shape(certificate(client, signing, duration=2).to_dict())))
    until(lambda: may(third, namespace), 2, "a new one works")
    for wrong in ({"duration": 1828}, {"duration": 0}, {}, {"expire_at": "2027-01-01"}):
        with pytest.raises(ClientRequestException) as refused:
            certificate(client, signing, **wrong)
        assert (refused.value.status_code, refused.value.error_code) == (400, "CCE.01400001"), wrong


def client_shape(config):
    """A kubeconfig with the keys as they are on the wire: the client makes attributes of them."""
    return {
        "apiVersion": config["api_version"],
        "kind": config["kind"],
        "current-context": config["current_context"],
        "contexts": config["contexts"],
        "clusters": [
            {
                "name": one["name"],
                "cluster": {
                    "server": one["cluster"]["server"],
                    "certificate-authority-data": one["cluster"]["certificate_authority_data"],
                },
            }
            for one in config["clusters"]
        ],
        "users": [
            {
                "name": one["name"],
                "user": {
                    "client-certificate-data": one["user"]["client_certificate_data"],
                    "client-key-data": one["user"]["client_key_data"],
                },
            }
            for one in config["users"]
        ],
    }


def revoke(client, cluster, **whom):
    asked = cce.RevokeKubernetesClusterCertRequest(cluster_id=cluster, body=cce.CertRevokeConfigRequestBody(**whom))
    return client.revoke_kubernetes_cluster_cert(asked)


def test_acks_client_has_lists_and_revokes_kubeconfigs(bailiwick, signing, person, namespace, tmp_path):
    user, key = person
    bailiwick.until_state(grant_to(bailiwick, user, signing, namespace), signing, "effective")
    own = clusters_client(bailiwick.base, key)
    root = clusters_client(bailiwick.base, (bailiwick.key_id, bailiwick.secret))

    def states():
        asked = ack.ListUserKubeConfigStatesRequest(page_number=1, page_size=50)
        listed = root.list_user_kube_config_states(user, asked).body.states
        return [one.cert_state for one in listed if one.cluster_id == signing]

    assert states() == ["Unissued"]
    lasting = own.describe_cluster_user_kubeconfig(signing, ack.DescribeClusterUserKubeconfigRequest()).body
    brief = ack.DescribeClusterUserKubeconfigRequest(temporary_duration_minutes=15, private_ip_address=True)
    temporary = own.describe_cluster_user_kubeconfig(signing, brief).body
    ends = datetime.datetime.fromisoformat(temporary.expiration)
    assert abs((ends - datetime.datetime.now(datetime.UTC)).total_seconds() - 900) < 10
    files = [written(tmp_path, one.config) for one in (lasting, temporary)]
    for file in files:
        until(lambda file=file: may(file, namespace), 2, "kubectl works")
    older = own.describe_cluster_v2user_kubeconfig(signing, ack.DescribeClusterV2UserKubeconfigRequest()).body
    assert yaml.safe_load(older.config)["kind"] == "Config"
    assert states() == ["Unexpired"]
    listed = root.list_cluster_kubeconfig_states(signing, ack.ListClusterKubeconfigStatesRequest()).body
    [row] = [one for one in listed.states if one.account_id == user]
    assert (row.account_type, row.account_state, row.cert_state, row.revokable) == ("RamUser", "Active", "Unexpired", True)

    own.revoke_k8s_cluster_kube_config(signing)
    until(lambda: not any(may(file, namespace) for file in files), 2, "all of them end")
    assert states() == ["Removed"]
    # Who issued what is in the audit, though a GET asked for it.
    rows = bailiwick.cli("audit", "list", "--actor", user)["items"]
    issued = [row for row in rows if row["action"] == "bailiwick:certificate:issue"]
    assert len(issued) == 3


def test_what_is_the_root_users_alone_in_ack(bailiwick, signing, person):
    user, key = person
    own = clusters_client(bailiwick.base, key)
    root = clusters_client(bailiwick.base, (bailiwick.key_id, bailiwick.secret))
    subaccount = ack.DescribeSubaccountK8sClusterUserConfigRequest()
    expire = ack.UpdateK8sClusterUserConfigExpireRequest(expire_hour=5, user=user)
    for call in (
        lambda: own.describe_subaccount_k8s_cluster_user_config(signing, user, subaccount),
        lambda: own.update_k8s_cluster_user_config_expire(signing, expire),
    ):
        with pytest.raises(ClientException) as refused:
            call()
        assert (refused.value.status_code, refused.value.code) == (403, "StatusForbidden")
    root.update_k8s_cluster_user_config_expire(signing, expire)
    made = root.describe_subaccount_k8s_cluster_user_config(signing, user, subaccount).body
    assert yaml.safe_load(made.config)["users"][0]["name"].startswith(f"{user}:")
    ends = datetime.datetime.fromisoformat(made.expiration)
    assert abs((ends - datetime.datetime.now(datetime.UTC)).total_seconds() - 5 * 3600) < 10


def test_a_recorded_request_for_a_kubeconfig_gives_no_second_one(bailiwick, signing, person):
    user, key = person
    target, host = f"/k8s/{signing}/user_config", bailiwick.base.removeprefix("http://")
    recorded = wire.request_bytes("GET", target, acs3.headers(*key, "GET", target, host, acs3.CLUSTERS))
    first = wire.send_raw(bailiwick.base, recorded)
    assert first.status == 200, first
    again = wire.send_raw(bailiwick.base, recorded)
    assert again.status == 409, again
    assert len(bailiwick.cli("kubeconfig", "list", "--user", user)["items"]) == 1
