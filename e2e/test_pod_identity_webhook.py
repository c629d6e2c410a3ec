"""The webhook that tells pods where their credentials are, asked by a real API server."""

import base64
import json
import secrets
import socket
import ssl
import time
import urllib.error

import pytest

from harness.kube import RBAC, KubeError
from harness.process import until
from harness.webhook import SYSTEM, URI, Webhook, call

VOLUME = "bailiwick-pod-identity"
PLACE = "/var/run/secrets/bailiwick.dev/pod-identity"
MODE = "bailiwick.dev/pod-identity-injection"


@pytest.fixture(scope="module")
def kube(own_api_server):
    return own_api_server.client()


@pytest.fixture(scope="module")
def cluster(bailiwick, own_api_server):
    return bailiwick.add_cluster(own_api_server)


@pytest.fixture
def webhook(bailiwick, own_api_server, cluster):
    """Makes the webhook, started and known to the API server."""
    made = []

    def make(*flags):
        made.append(Webhook(bailiwick, own_api_server, cluster, "--look-seconds=1", *flags))
        return made[-1].prepare().start().configure()

    yield make
    for one in made:
        one.remove()


def namespace_of(kube, mode=None):
    name = f"ns-{secrets.token_hex(4)}"
    labels = {MODE: mode} if mode else {}
    kube.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    return name


def add_service_account(kube, namespace, name):
    kube.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})


def associate(server, cluster, namespace, service_account):
    agency = server.add_agency()
    body = {"namespace": namespace, "serviceAccount": service_account, "agency": agency}
    return call(server, "POST", f"/clusters/{cluster}/pod-identity/associations", body, status=201)["id"]


def pod(service_account="till", **metadata):
    container = {"name": "a", "image": "x"}
    return {
        "metadata": {"generateName": "p-", **metadata},
        "spec": {
            "serviceAccountName": service_account,
            "containers": [dict(container), {**container, "name": "b", "env": [{"name": "OWN", "value": "1"}]}],
            "initContainers": [{**container, "name": "i"}],
        },
    }


def make(kube, namespace, body):
    """Makes a pod. Old API servers want the service account's own Secret first, which a controller makes."""
    path = f"/api/v1/namespaces/{namespace}/pods"

    def made():
        try:
            return kube.create(path, body)
        except KubeError as error:
            if "api token found" in str(error).lower():
                return None
            raise AssertionError(error) from error

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = made()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("the service account gets no token")


def variables(container):
    return [(one["name"], one.get("value")) for one in container.get("env", [])]


def is_injected(made):
    return any(volume["name"] == VOLUME for volume in made["spec"].get("volumes", []))


def test_a_pod_is_changed_as_specified(webhook, kube, bailiwick, cluster):
    webhook()
    namespace = namespace_of(kube)
    add_service_account(kube, namespace, "till")
    associate(bailiwick, cluster, namespace, "till")
    spec = make(kube, namespace, pod())["spec"]
    ours = [
        ("HC_CONTAINER_CREDENTIALS_FULL_URI", URI),
        ("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", f"{PLACE}/token"),
    ]
    first, second = spec["containers"]
    assert variables(first) == ours and variables(second) == [("OWN", "1"), *ours]
    assert variables(spec["initContainers"][0]) == ours
    for container in (*spec["containers"], *spec["initContainers"]):
        mount = next(mount for mount in container["volumeMounts"] if mount["name"] == VOLUME)
        assert mount == {"name": VOLUME, "mountPath": PLACE, "readOnly": True}
    volume = next(volume for volume in spec["volumes"] if volume["name"] == VOLUME)
    token = {"audience": "service.cce.pods", "expirationSeconds": 86400, "path": "token"}
    assert volume["projected"]["sources"] == [{"serviceAccountToken": token}]
    # What needs nothing is left as it is.
    assert not is_injected(make(kube, namespace, pod(annotations={"bailiwick.dev/pod-identity": "off"})))
    assert not is_injected(make(kube, namespace, pod(labels={"bailiwick.dev/pod-identity": "off"})))
    add_service_account(kube, namespace, "other")
    assert not is_injected(make(kube, namespace, pod("other")))


def test_a_pod_right_after_its_association_is_changed(webhook, kube, bailiwick, cluster):
    webhook()
    namespace = namespace_of(kube)
    for number in range(10):
        name = f"till-{number}"
        add_service_account(kube, namespace, name)
        until(lambda: kube.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}").get("secrets"), 10, "a token")
        associate(bailiwick, cluster, namespace, name)
        assert is_injected(make(kube, namespace, pod(name))), number


def test_a_webhook_that_is_away_refuses_where_it_is_required_and_elsewhere_the_miss_is_seen(
    webhook, kube, bailiwick, cluster
):
    running = webhook()
    strict, loose = namespace_of(kube, "required"), namespace_of(kube)
    for namespace in (strict, loose):
        add_service_account(kube, namespace, "till")
        associate(bailiwick, cluster, namespace, "till")
        assert is_injected(make(kube, namespace, pod()))
    running.process.stop()
    with pytest.raises(AssertionError, match="required.pod-identity"):
        make(kube, strict, pod())
    missed = make(kube, loose, pod())
    assert not is_injected(missed)
    running.start()
    running.configure()
    until(lambda: running.metric("bailiwick_agent_pods_not_injected") == 1, 10, "the miss is counted")
    uid = missed["metadata"]["uid"]
    told = lambda: [  # noqa: E731
        event
        for event in kube.get(f"/api/v1/namespaces/{loose}/events")["items"]
        if event["metadata"]["name"].startswith(f"bailiwick-{uid}-")
    ]
    (event,) = until(told, 10, "an event")
    assert event["reason"] == "PodIdentityNotInjected" and event["involvedObject"]["uid"] == uid
    assert is_injected(make(kube, strict, pod()))
    kube.request("DELETE", f"/api/v1/namespaces/{loose}/pods/{missed['metadata']['name']}", {"gracePeriodSeconds": 0})
    until(lambda: running.metric("bailiwick_agent_pods_not_injected") == 0, 10, "what was mended is not counted")


def test_a_server_that_is_away_is_in_nobodys_way_but_where_it_is_required(
    new_server, webhook, kube, own_api_server
):
    server = new_server().start()
    cluster = server.add_cluster(own_api_server)
    running = Webhook(server, own_api_server, cluster, "--look-seconds=1", "--believe-seconds=1")
    try:
        running.prepare().start().configure()
        strict, loose = namespace_of(kube, "required"), namespace_of(kube)
        for namespace in (strict, loose):
            add_service_account(kube, namespace, "till")
            add_service_account(kube, namespace, "new")
            associate(server, cluster, namespace, "till")
            assert is_injected(make(kube, namespace, pod()))
        server.stop()
        assert is_injected(make(kube, strict, pod())), "what was told is known"
        time.sleep(1)
        assert not is_injected(make(kube, loose, pod("new")))
        began = time.monotonic()
        for _ in range(5):
            make(kube, loose, pod("new"))
        assert time.monotonic() - began < 5, "who waited in vain spares those after them"
        with pytest.raises(AssertionError, match="cannot be asked"):
            make(kube, strict, pod("new"))
    finally:
        running.remove()


def test_the_certificate_and_its_authority_change_while_pods_are_made(webhook, kube, own_api_server, bailiwick, cluster):
    running = webhook("--certificate-seconds=12")
    namespace = namespace_of(kube, "required")
    add_service_account(kube, namespace, "till")
    associate(bailiwick, cluster, namespace, "till")
    make(kube, namespace, pod())
    bundles, failed, count = set(), [], 0
    end, own = time.monotonic() + 45, own_api_server.client()
    while time.monotonic() < end:
        body = pod()
        body["spec"]["containers"] = body["spec"]["containers"][:1]
        try:
            made = own.create(f"/api/v1/namespaces/{namespace}/pods?dryRun=All", body)
            count += 1
            if not is_injected(made):
                failed.append("not injected")
        except KubeError as error:
            failed.append(str(error))
        bundles.add(tuple(running.bundles()))
        time.sleep(0.02)
    assert not failed, failed[:3]
    assert count > 200 and len(bundles) >= 2, (count, len(bundles))
    log = running.process.output()
    assert log.count("certificate.renewed") >= 5, log[-2000:]


def test_two_replicas_share_one_certificate(webhook, kube, bailiwick, own_api_server, cluster):
    first = webhook()
    second = Webhook(bailiwick, own_api_server, cluster)
    second.folder = first.folder
    try:
        second.start()
        secret = kube.get(f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-webhook-certificate")
        authorities = base64.b64decode(secret["data"]["authorities"]).decode()
        assert {base64.b64decode(bundle).decode() for bundle in first.bundles()} == {authorities}
        assert "certificate.renewed" not in second.process.output().replace(first.process.output(), "")
    finally:
        second.stop()


def test_the_agents_key_is_made_anew_by_one_of_two_replicas(webhook, kube, bailiwick, own_api_server, cluster):
    path = f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-keeper-key"
    nodes = f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-agent-key"
    first = webhook("--renew-key-seconds=4")
    nodes_before = kube.get(nodes)["data"]
    key = lambda: base64.b64decode(kube.get(path)["data"]["accessKeyId"]).decode()  # noqa: E731
    before = (first.folder / "accessKeyId").read_text(encoding="utf-8")
    until(lambda: key() != before, 15, "another key")
    done = "bailiwick.dev/renewed-at"
    until(lambda: done in kube.get(path)["metadata"].get("annotations", {}), 10, "it is said that all is done")
    secret = kube.get(path)
    assert kube.get(nodes)["data"]["accessKeyId"] != nodes_before["accessKeyId"]
    text = base64.b64decode(secret["data"]["secretAccessKey"]).decode()
    assert text not in first.process.output()


def test_keys_that_cannot_be_written_are_kept_and_not_asked_for_again(kube, bailiwick, own_api_server):
    path = f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-agent-key"
    role = f"{RBAC}/namespaces/{SYSTEM}/roles/bailiwick-webhook"
    # A cluster of its own: keys are renewed once in a minute.
    running = Webhook(bailiwick, own_api_server, bailiwick.add_cluster(own_api_server), "--renew-key-seconds=4")
    try:
        running.prepare()
        rules = kube.get(role)["rules"]
        (rule,) = rules
        others = [name for name in rule["resourceNames"] if name != "bailiwick-agent-key"]
        kube.merge(role, {"rules": [{**rule, "verbs": ["get"]}, {**rule, "resourceNames": others}]})
        before = kube.get(path)["data"]
        running.start()
        until(lambda: '"is_kept":true' in running.process.output(), 20, "what was given cannot be written")
        assert kube.get(path)["data"] == before
        kube.merge(role, {"rules": rules})
        until(lambda: kube.get(path)["data"] != before, 20, "it is written after all")
        # The server says so to who asks again within a minute.
        assert "key.asked_again" not in running.process.output()
    finally:
        running.remove()


def test_a_pod_that_holds_connections_stops_no_review(webhook, kube, bailiwick, cluster):
    running = webhook()
    namespace = namespace_of(kube, "required")
    add_service_account(kube, namespace, "till")
    associate(bailiwick, cluster, namespace, "till")
    make(kube, namespace, pod())
    context = ssl._create_unverified_context()  # noqa: S323
    held = []
    try:
        for number in range(40):
            plain = socket.create_connection(("127.0.0.1", running.port))
            held.append(plain)
            if number % 2:
                held.append(context.wrap_socket(plain))
                length = 3 << 20 if number % 4 == 1 else 12_000
                held[-1].sendall(f"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        for _ in range(5):
            began = time.monotonic()
            assert is_injected(make(kube, namespace, pod()))
            assert time.monotonic() - began < 3, "a body has three seconds to come"
        asked = held[-1]
        asked.settimeout(20)
        assert asked.recv(100).startswith(b"HTTP/1.1 408"), "who sends nothing is told so"
    finally:
        for one in held:
            one.close()


def test_a_webhook_that_is_told_to_end_answers_until_nobody_looks_for_it(webhook, kube, bailiwick, cluster):
    running = webhook()
    namespace = namespace_of(kube, "required")
    add_service_account(kube, namespace, "till")
    associate(bailiwick, cluster, namespace, "till")
    make(kube, namespace, pod())
    running.process.popen.terminate()
    until(lambda: is_unready(running), 15, "it says that it ends")
    assert is_injected(make(kube, namespace, pod()))
    until(lambda: not running.process.running(), 15, "it ends")


def is_unready(running):
    try:
        running.get("/readyz")
    except urllib.error.HTTPError as error:
        return error.code == 503
    return False


def test_a_pod_older_than_its_association_is_not_missed(webhook, kube, bailiwick, cluster):
    namespace = namespace_of(kube)
    for name in ("early", "late"):
        add_service_account(kube, namespace, name)
    make(kube, namespace, pod("early"))
    time.sleep(7)  # Ages are told in seconds, and clocks may differ by five.
    associate(bailiwick, cluster, namespace, "early")
    associate(bailiwick, cluster, namespace, "late")
    make(kube, namespace, pod("late"))
    running = webhook()
    until(lambda: (namespace, "late") in missed(running), 10, "the late one is missed")
    assert (namespace, "early") not in missed(running)


def missed(running):
    """Namespace and service account of all pods that the log tells of."""
    lines = [json.loads(line) for line in running.process.output().splitlines() if '"pod.not_injected"' in line]
    return {(line["fields"]["namespace"], line["fields"]["service_account"]) for line in lines}


def test_a_namespace_full_of_large_pods_hides_no_other(webhook, kube, bailiwick, cluster):
    blind, seen = sorted((namespace_of(kube), namespace_of(kube)))
    for namespace in (blind, seen):
        add_service_account(kube, namespace, "till")
        associate(bailiwick, cluster, namespace, "till")
    for _ in range(70):
        make(kube, blind, pod("default", annotations={"a": "x" * (250 << 10)}))
    make(kube, blind, pod())
    make(kube, seen, pod())
    running = webhook()
    until(lambda: {(blind, "till"), (seen, "till")} <= missed(running), 20, "both are found")
    assert running.metric("bailiwick_agent_namespaces_not_seen") == 0


def test_the_webhook_may_do_no_more_than_it_needs(webhook, kube, own_api_server):
    running = webhook()
    thief = own_api_server.client_with_token((running.folder / "token").read_text(encoding="utf-8"))
    for path in (
        "/api/v1/secrets",
        f"/api/v1/namespaces/{SYSTEM}/secrets",
        "/api/v1/namespaces/kube-system/secrets",
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        "/api/v1/nodes",
    ):
        assert thief.request("GET", path)[0] == 403, path
    assert thief.request("POST", "/api/v1/namespaces/default/pods", pod())[0] == 403
    assert thief.request("GET", "/api/v1/namespaces/default/pods")[0] == 200
