"""The whole way of a pod to its credentials, in one piece: an association by the vendor's SDK, a pod that the API server has
mutated by the webhook, the token that its volume asks for, the agent at the address that the pod was told, and the vendor's
unmodified provider with nothing but what was injected. What a kubelet would do is done by the test: the token's file.
"""

import os
import pathlib
import secrets
import shutil
import subprocess

import huaweicloudsdkcce.v3 as cce
import pytest
from huaweicloudsdkcore.auth.provider import PodIdentityCredentialProvider
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, SdkException

from harness import sdk
from harness.pods import NodeAgent
from harness.process import until
from harness.webhook import URI, Webhook, call

ENDPOINT = URI.split("/")[2]
MOUNTS = pathlib.Path("/var/run/secrets/bailiwick.dev")


@pytest.fixture
def endpoint():
    """The link-local address that pods are told, as the agent's init container sets it up on each node."""
    address = f"{ENDPOINT.split(':')[0]}/32"
    added = subprocess.run(["ip", "addr", "add", address, "dev", "lo"], check=False, capture_output=True)
    assert added.returncode == 0, "this test needs an address of its own on the loopback interface, as root"
    yield ENDPOINT
    subprocess.run(["ip", "addr", "del", address, "dev", "lo"], check=True)


def operator_of(server):
    """The SDK's client as whoever administers the fleet."""
    return sdk.cce_client(server.base, server.key_id, server.secret, server.project)


def associate(server, cluster, namespace, service_account, agency):
    body = cce.PodIdentityAssociation(namespace=namespace, service_account=service_account, agency_name=agency)
    request = cce.CreatePodIdentityAssociationRequest(cluster_id=cluster, body=body)
    return operator_of(server).create_pod_identity_association(request).uid


def mounted(kube, namespace, made):
    """Writes what the pod's injected volume asks for to where its container sees it, and gives its environment."""
    (container,) = made["spec"]["containers"]
    (volume,) = [one for one in made["spec"]["volumes"] if one["name"] == "bailiwick-pod-identity"]
    (source,) = volume["projected"]["sources"]
    wanted = source["serviceAccountToken"]
    spec = {
        "audiences": [wanted["audience"]],
        "expirationSeconds": wanted["expirationSeconds"],
        "boundObjectRef": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": made["metadata"]["name"],
            "uid": made["metadata"]["uid"],
        },
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{made['spec']['serviceAccountName']}/token"
    token = kube.create(path, {"spec": spec})["status"]["token"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == volume["name"]]
    folder = pathlib.Path(mount["mountPath"])
    assert folder.is_relative_to(MOUNTS), folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / wanted["path"]).write_text(token, encoding="utf-8")
    return {one["name"]: one["value"] for one in container["env"]}


def test_a_pod_acts_as_its_agency_with_nothing_but_what_was_injected(
    bailiwick, own_api_server, endpoint, monkeypatch, tmp_path
):
    kube, namespace = own_api_server.client(), f"shop-{secrets.token_hex(3)}"
    cluster = bailiwick.add_cluster_as_root(own_api_server)
    agency = f"agency-{secrets.token_hex(3)}"
    bailiwick.add_agency(agency)
    document = {"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["cce:accessPolicy:list"], "Resource": ["*"]}]}
    call(bailiwick, "POST", "/policies", {"name": agency, "document": document}, status=201)
    bailiwick.do("policy", "attach", agency, "--agency", agency)

    webhook = Webhook(bailiwick, own_api_server, cluster)
    agent = None
    try:
        webhook.prepare().start().configure()
        key = call(bailiwick, "POST", f"/clusters/{cluster}/pod-identity/agent", {}, status=201)
        agent = NodeAgent(bailiwick.base, cluster, key, listen=endpoint).start()
        kube.create_namespace(namespace)
        association = associate(bailiwick, cluster, namespace, "cart", agency)
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        kube.create(accounts, {"metadata": {"name": "cart"}, "automountServiceAccountToken": False})
        body = {
            "metadata": {"name": "cart-1"},
            "spec": {
                "serviceAccountName": "cart",
                "automountServiceAccountToken": False,
                "containers": [{"name": "main", "image": "none.invalid/none"}],
            },
        }
        made = kube.create(f"/api/v1/namespaces/{namespace}/pods", body)

        environment = mounted(kube, namespace, made)
        assert set(environment) == {"HC_CONTAINER_CREDENTIALS_FULL_URI", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"}
        for name in [name for name in os.environ if name.startswith(("HC_", "HUAWEICLOUD_"))]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HOME", str(tmp_path))

        def provided():
            try:
                return PodIdentityCredentialProvider.get_basic().get_credentials()
            except SdkException:
                return None

        credentials = until(provided, 30, "credentials by an association that was just made")
        client = sdk.cce_client_with(bailiwick.base, credentials.with_project_id(bailiwick.project))
        client.list_access_policy(cce.ListAccessPolicyRequest())
        with pytest.raises(ClientRequestException) as refusal:
            client.delete_access_policy(cce.DeleteAccessPolicyRequest(policy_id="none"))
        assert refusal.value.status_code == 403

        # The end of the association is the end of it all: of what is fetched, and of what was vended.
        request = cce.DeletePodIdentityAssociationRequest(cluster_id=cluster, association_id=association)
        operator_of(bailiwick).delete_pod_identity_association(request)

        def refused():
            try:
                client.list_access_policy(cce.ListAccessPolicyRequest())
            except ClientRequestException as over:
                return over.status_code == 401
            return False

        until(refused, 1, "what was vended is refused")
        until(lambda: provided() is None, 5, "nothing more is fetched")
    finally:
        if agent:
            agent.stop()
        webhook.remove()
        shutil.rmtree(MOUNTS, ignore_errors=True)
