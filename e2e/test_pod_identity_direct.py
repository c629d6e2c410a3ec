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
import yaml
from huaweicloudsdkcore.auth.provider import PodIdentityCredentialProvider
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, SdkException

from harness import sdk
from harness.certificates import Authority
from harness.pods import Account, connector_reads_pods
from harness.process import until
from harness.server import Server
from harness.webhook import SYSTEM, Webhook

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


def test_one_refusal_is_all_that_a_stranger_gets_whether_or_not_there_is_such_a_cluster(
    server, cluster, workload, kube, other_api_server
):
    associate(server, cluster, workload)
    good = workload.token(workload.pod())
    assert ask(server, cluster, good)[0] == 200
    there = other_api_server.client()
    there.create_namespace(workload.namespace)
    foreign = Account(there, workload.namespace, workload.name)
    header, claims, signature = good.split(".")
    flipped = f"{header}.{claims}.{('B' if signature[0] == 'A' else 'A') + signature[1:]}"
    unknown = secrets.token_hex(16)
    asked = [
        (cluster, foreign.token(foreign.pod())),  # of another cluster, whose names are the same
        (cluster, flipped),  # signed by nobody
        (unknown, good),  # for no cluster
        (unknown, flipped),
        ("prod", good),  # names are an account's
    ]

    def answered(where, token):
        """Everything of an answer but the request's own id, and when it was."""
        status, headers, body = ask(server, where, token)
        own = headers.pop("x-request-id")
        headers = {name: value for name, value in headers.items() if name.lower() != "date"}
        return status, headers, body.replace(own.encode(), b"")

    answers = [answered(*one) for one in asked]
    assert all(answer == answers[0] for answer in answers), answers
    refused(server, cluster, flipped, 401, "unproved-token")
    # What is wrong with a token in every cluster is said in each.
    other_audience = workload.token(workload.pod(), audience="https://kubernetes.default.svc")
    for where in (cluster, unknown):
        refused(server, where, other_audience, 401, "wrong-audience")
        refused(server, where, "a.b.c", 401, "malformed-token")
        refused(server, where, f"Bearer {good}", 401, "malformed-token")
        refused(server, where, None, 401, "malformed-token")
    status, _, body = ask(server, cluster, good, **{"X-Auth-Token": "t"})
    assert status == 400, body


def test_what_a_token_proves_is_not_enough_by_itself(server, cluster, workload):
    pod = workload.pod()
    token = workload.token(pod)
    refused(server, cluster, token, 403, "no-association")
    associate(server, cluster, workload)
    assert ask(server, cluster, token)[0] == 200
    workload.delete_pod(pod)
    # As soon as the server has heard of it.
    until(lambda: ask(server, cluster, token)[0] == 401, 2, "the token of a pod that is gone is refused")
    refused(server, cluster, token, 401, "gone")


def test_the_audit_names_the_pod_and_neither_it_nor_the_log_has_the_token(server, cluster, workload):
    associate(server, cluster, workload)
    pod = workload.pod()
    token = workload.token(pod)
    answer = json.loads(ask(server, cluster, token)[2])
    refused(server, secrets.token_hex(16), token, 401, "unproved-token")
    events = server.cli("audit", "list", "--pod", pod["metadata"]["uid"])
    (event,) = events["items"] if isinstance(events, dict) else events
    assert event["actorName"] == f"system:serviceaccount:{workload.namespace}:{workload.name}"
    assert event.get("actor") is None and event["source"] == "127.0.0.1", event
    assert answer["credentials"]["accessKeyId"] in event["resource"]
    said = server.process.output()
    assert "a pod's token was not proved" in said or "vendToPod" in said, "it is said at all"
    everything = said + json.dumps(events)
    for part in token.split("."):
        assert part not in everything
    for name in ("secretAccessKey", "securityToken"):
        assert answer["credentials"][name] not in everything


def test_agents_and_the_webhook_are_told_that_pods_may_ask(server, cluster):
    feed = server.client().call("GET", f"/bailiwick/v1/clusters/{cluster}/pod-identity/feed?wait=0")
    assert feed["verification"]["direct"] is True


def test_pods_may_not_ask_where_nobody_said_so(bailiwick, workload, kube):
    nowhere = secrets.token_hex(16)
    error = refused(bailiwick, nowhere, workload.token(), 403, "not-direct")
    assert "pod_identity.direct" in error["message"]
    assert refused(bailiwick, nowhere, "nonsense", 403, "not-direct")["message"] == error["message"]


def test_the_sdk_believes_a_server_of_a_private_authority_only_where_the_pod_has_it(new_server, monkeypatch, tmp_path):
    authority = Authority(str(tmp_path))
    certificate, key = authority.server("bailiwick")
    listen = ["--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key]
    served = new_server(arguments=listen, environment=DIRECT).launch()
    served.base = served.process.wait_ready(served._announced, 30, "listening")
    (tmp_path / "token").write_text("a.b.c", encoding="utf-8")
    monkeypatch.setenv("HC_CONTAINER_CREDENTIALS_FULL_URI", served.base + path_of("none"))
    monkeypatch.setenv("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
        PodIdentityCredentialProvider.get_basic().get_credentials()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.certificate)
    with pytest.raises(SdkException) as refusal:
        PodIdentityCredentialProvider.get_basic().get_credentials()
    assert "401" in str(refusal.value.args) or "401" in str(refusal.value.__dict__), refusal.value


def kubectl_of(server, own_api_server, tmp_path):
    """Runs `pod-identity install` and `uninstall` as an operator does."""
    config = tmp_path / "kubeconfig"
    config.write_text(own_api_server.kubeconfig, encoding="utf-8")

    def run(verb, cluster, *arguments, of=server):
        line = ("pod-identity", verb, "--cluster", cluster, "--context", "e2e", "--kubeconfig", config, *arguments)
        return of.run(*line)

    return run


IMAGE = ("--image", "registry.example/bailiwick-agent:test")


def test_install_without_nodes_puts_the_webhook_alone_and_no_key_that_vends(server, bailiwick, own_api_server, tmp_path):
    kube, run = own_api_server.client(), kubectl_of(server, own_api_server, tmp_path)
    known = server.add_cluster(own_api_server)
    inside = f"/api/v1/namespaces/{SYSTEM}"
    refusal = run("install", bailiwick.add_cluster(own_api_server), *IMAGE, "--direct", of=bailiwick)
    assert refusal.returncode == 1 and "does not let pods ask" in refusal.stderr, refusal.stderr
    assert kube.request("GET", inside)[0] == 404
    try:
        printed = run("install", known, *IMAGE, "--direct", "--print", "--with-key")
        assert printed.returncode == 0, printed.stderr
        kinds = sorted(one["kind"] for one in yaml.safe_load_all(printed.stdout))
        assert "DaemonSet" not in kinds and kinds.count("Secret") == 2 and kinds.count("ServiceAccount") == 1
        # There is no kubelet: nothing becomes ready, and nothing is waited for.
        done = run("install", known, *IMAGE, "--direct", "--timeout", "0")
        assert done.returncode == 0 and "authorities of their own images" in done.stderr, done.stderr
        names = {one["metadata"]["name"] for one in kube.get(f"{inside}/secrets")["items"]}
        assert "bailiwick-keeper-key" in names and "bailiwick-agent-key" not in names
        assert kube.get(f"/apis/apps/v1/namespaces/{SYSTEM}/daemonsets")["items"] == []
        (webhook,) = kube.get(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments")["items"]
        (container,) = webhook["spec"]["template"]["spec"]["containers"]
        assert f"--direct-url={server.base}" in container["args"]
        assert not any(one.startswith("--credentials-uri") for one in container["args"])
        gone = run("uninstall", known)
        assert gone.returncode == 0 and kube.request("GET", inside)[0] == 404, gone.stderr
        # Agents on nodes are taken away first: pods that run ask them.
        assert run("install", known, *IMAGE, "--pod-range", "10.0.0.0/8", "--timeout", "0").returncode == 0
        again = run("install", known, *IMAGE, "--direct", "--timeout", "0")
        assert again.returncode == 1 and "agents on the nodes" in again.stderr, again.stderr
    finally:
        gone = run("uninstall", known)
    assert gone.returncode == 0, gone.stderr


def test_a_pod_that_the_webhook_told_to_ask_the_server_gets_credentials_there(
    server, own_api_server, tmp_path, monkeypatch
):
    kube = own_api_server.client()
    connector_reads_pods(own_api_server, "apply", tmp_path)
    known = server.add_cluster(own_api_server)
    workload = Account(kube, kube.create_namespace(f"ns-{secrets.token_hex(4)}"))
    associate(server, known, workload)
    webhook = Webhook(server, own_api_server, known, f"--direct-url={server.base}", "--renew-key-seconds=1")
    try:
        webhook.prepare()
        kube.delete(f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-agent-key")
        keeper = f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-keeper-key"
        before = kube.get(keeper)["data"]
        webhook.start().configure()
        made = workload.pod()
        (container,) = made["spec"]["containers"]
        told = {one["name"]: one["value"] for one in container["env"]}
        assert told["HC_CONTAINER_CREDENTIALS_FULL_URI"] == server.base + path_of(known)
        file = tmp_path / "token"
        file.write_text(workload.token(made), encoding="utf-8")
        monkeypatch.setenv("HC_CONTAINER_CREDENTIALS_FULL_URI", told["HC_CONTAINER_CREDENTIALS_FULL_URI"])
        monkeypatch.setenv("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))
        credentials = PodIdentityCredentialProvider.get_basic().get_credentials()
        client = sdk.cce_client_with(server.base, credentials.with_project_id(server.project))
        client.list_access_policy(cce.ListAccessPolicyRequest())
        # Nobody keeps the nodes' key, and the keeper's is renewed all the same.
        until(lambda: kube.get(keeper)["data"] != before, 20, "the keeper's key is made anew")
        assert kube.request("GET", f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-agent-key")[0] == 404
    finally:
        webhook.remove()
