"""Pods that ask the server itself, without an agent on their node: the vendor's unmodified provider with its two variables,
tokens of a real API server, and strangers who have none.
"""

import http.client
import json
import os
import secrets
import urllib.parse

import huaweicloudsdkcce.v3 as cce
import pytest
from huaweicloudsdkcore.auth.provider import PodIdentityCredentialProvider
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, SdkException

from harness import sdk
from harness.pods import Account, connector_reads_pods
from harness.server import Server

DIRECT = {"BAILIWICK_POD_IDENTITY_DIRECT": "true", "BAILIWICK_LOG": "debug"}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, database_url):
    """A server that pods may ask, and that says all it has to say."""
    running = Server(database=database_url(request.param), environment=DIRECT)
    try:
        yield running.start()
    finally:
        running.remove()


@pytest.fixture(scope="module")
def cluster(server, api_server, tmp_path_factory):
    """The shared cluster, with a connector that may tell what is alive: its id."""
    folder = tmp_path_factory.mktemp("operator")
    known = server.add_cluster(api_server)
    connector_reads_pods(api_server, "apply", folder)
    yield known
    connector_reads_pods(api_server, "delete", folder)


@pytest.fixture
def workload(kube, namespace):
    return Account(kube, namespace)


def associate(server, cluster, workload):
    """An agency that may list access policies, for a workload: (agency, association)."""
    name = f"agency-{secrets.token_hex(4)}"
    agency = server.add_agency(name)
    statement = {"Effect": "Allow", "Action": ["cce:accessPolicy:list"], "Resource": ["*"]}
    document = {"Version": "5.0", "Statement": [statement]}
    server.client().call("POST", "/bailiwick/v1/policies", {"name": name, "document": document}, status=201)
    server.do("policy", "attach", name, "--agency", name)
    body = {"namespace": workload.namespace, "serviceAccount": workload.name, "agency": agency}
    path = f"/bailiwick/v1/clusters/{cluster}/pod-identity/associations"
    return agency, server.client().call("POST", path, body, status=201)["id"]


def path_of(cluster):
    return f"/bailiwick/v1/clusters/{cluster}/pod-identity/pod"


def ask(server, cluster, token, **headers):
    """Status, headers and body of one request as the SDK makes it."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.base).netloc, timeout=15)
    try:
        shown = {"Content-Type": "application/json", **headers}
        if token is not None:
            shown["Authorization"] = token
        connection.request("POST", path_of(cluster), body="{}", headers=shown)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def refused(server, cluster, token, status, reason):
    found, _, body = ask(server, cluster, token)
    assert (found, json.loads(body)["error"].get("reason")) == (status, reason), body
    return json.loads(body)["error"]


@pytest.fixture
def provided(server, monkeypatch, tmp_path):
    """The vendor's provider with nothing but the two variables, for a cluster and a token."""

    def provide(cluster, token):
        for name in [name for name in os.environ if name.startswith(("HC_", "HUAWEICLOUD_"))]:
            monkeypatch.delenv(name)
        file = tmp_path / "token"
        file.write_text(f"{token}\n", encoding="utf-8")
        monkeypatch.setenv("HC_CONTAINER_CREDENTIALS_FULL_URI", server.base + path_of(cluster))
        monkeypatch.setenv("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))
        monkeypatch.setenv("HOME", str(tmp_path))
        return PodIdentityCredentialProvider.get_basic().get_credentials()

    return provide


def test_a_pod_gets_credentials_from_the_server_itself_with_two_variables_and_acts_as_its_agency(
    server, cluster, workload, provided
):
    _, association = associate(server, cluster, workload)
    token = workload.token(workload.pod())
    credentials = provided(cluster, token)
    client = sdk.cce_client_with(server.base, credentials.with_project_id(server.project))
    client.list_access_policy(cce.ListAccessPolicyRequest())
    with pytest.raises(ClientRequestException) as refusal:
        client.delete_access_policy(cce.DeleteAccessPolicyRequest(policy_id="none"))
    assert refusal.value.status_code == 403
    # The token may be shown again as long as it is good, and the answer is what agents get.
    status, _, body = ask(server, cluster, token)
    answer = json.loads(body)
    assert (status, answer["podIdentityAssociationId"]) == (200, association)
    assert answer["subject"] == {"namespace": workload.namespace, "serviceAccount": workload.name}
    assert set(answer["credentials"]) == {"accessKeyId", "secretAccessKey", "securityToken", "expiration"}
    # The end of the association is the end of it all.
    server.client().call(
        "DELETE", f"/bailiwick/v1/clusters/{cluster}/pod-identity/associations/{association}", status=204
    )
    with pytest.raises(ClientRequestException) as over:
        client.list_access_policy(cce.ListAccessPolicyRequest())
    assert over.value.status_code == 401
    refused(server, cluster, token, 403, "no-association")
    with pytest.raises(SdkException):
        provided(cluster, token)
