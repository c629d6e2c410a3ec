"""What the credential of a cluster's connection may do: every row is the API server's own answer."""

import base64
import json
import pathlib
import secrets
import subprocess
import threading
import time

import pytest
import yaml

from harness import hostile
from harness.kube import RBAC
from harness.process import clean_environment, until
from harness.server import REPOSITORY

ROWS = json.loads((REPOSITORY / "crates/api/src/dialects/huawei/hss/rows.json").read_text(encoding="utf-8"))["rows"]

pytestmark = pytest.mark.parametrize("bailiwick", ["sqlite"], indirect=True)


def rights(row):
    """What a row needs: (group, resource, name, verb)."""
    names = row.get("resource_names", [""])
    places = [(group, resource, name) for group in row["api_groups"] for resource in row["resources"] for name in names]
    return {(*place, verb) for place in places for verb in row["verbs"]}


ALL = set().union(*map(rights, ROWS))


def missing(row):
    """What a checked row says is missing, in the same form."""
    return {(right["group"], right["resource"], right.get("name", ""), right["verb"]) for right in row["missing"]}


def allowed(kube, user, right):
    """What the API server says about `user`, as `kubectl auth can-i --as` asks it."""
    group, resource, name, verb = right
    resource, _, subresource = resource.partition("/")
    attributes = {"group": group, "resource": resource, "subresource": subresource, "name": name, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    return kube.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]


class Checked:
    """A user of the cluster with a role of their own, and the cluster that is registered with their credential."""

    def __init__(self, bailiwick, api_server, kube):
        self.bailiwick, self.kube = bailiwick, kube
        self.user = f"checked-{secrets.token_hex(3)}"
        meta = {"name": self.user}
        kube.create(f"{RBAC}/clusterroles", {"kind": "ClusterRole", "metadata": meta, "rules": []})
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.user}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.user}
        binding = {"kind": "ClusterRoleBinding", "metadata": meta, "roleRef": reference, "subjects": [subject]}
        kube.create(f"{RBAC}/clusterrolebindings", binding)
        self.kubeconfig = api_server.kubeconfig_for(self.user)
        self.cluster = bailiwick.add_cluster(kubeconfig=self.kubeconfig)

    def give(self, held):
        """Gives exactly these rights, and waits until the API server knows."""
        rules = [
            {"apiGroups": [group], "resources": [resource], "verbs": [verb], **({"resourceNames": [name]} if name else {})}
            for group, resource, name, verb in sorted(held)
        ]
        self.kube.merge(f"{RBAC}/clusterroles/{self.user}", {"rules": rules})
        for right in [*list(held)[:1], *list(ALL - held)[:1]]:
            until(lambda right=right: allowed(self.kube, self.user, right) == (right in held), 10, f"{right} is known")

    def check(self):
        return self.bailiwick.client().call("POST", f"/bailiwick/v1/clusters/{self.cluster}/check", {})

    def remove(self):
        self.kube.delete(f"{RBAC}/clusterrolebindings/{self.user}")
        self.kube.delete(f"{RBAC}/clusterroles/{self.user}")


@pytest.fixture(scope="module")
def checked(bailiwick, api_server, kube):
    one = Checked(bailiwick, api_server, kube)
    yield one
    one.remove()


def kubectl(api_server, folder, *arguments, text=""):
    file = folder / "operator"
    file.write_text(api_server.kubeconfig, encoding="utf-8")
    return subprocess.run(
        ["kubectl", "--kubeconfig", str(file), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(HOME=str(folder)),
        check=True,
    ).stdout


def test_every_row_is_what_the_api_server_says_of_the_same_identity(checked, kube):
    cases = [("everything", ALL), ("nothing", set())]
    for at, row in enumerate(ROWS):
        verb = sorted(row["verbs"])[at % len(row["verbs"])]
        cases.append((f"row {at} without {verb}", ALL - {right for right in rights(row) if right[3] == verb}))
    for name, held in cases:
        checked.give(held)
        found = checked.check()
        assert found["identity"] == checked.user
        for row, shown in zip(ROWS, found["rows"], strict=True):
            lacking = {right for right in rights(row) if not allowed(kube, checked.user, right)}
            assert missing(shown) == lacking == rights(row) - held, (name, row["function"])
            assert shown["authorized"] == (not lacking), (name, row["function"])
        assert found["authorized"] == (held == ALL), name


def test_the_manifest_turns_every_row_true_and_gives_nothing_more(checked, kube, api_server, tmp_path):
    held = {right for at, right in enumerate(sorted(ALL)) if at % 3}
    checked.give(held)
    done = checked.bailiwick.run("cluster", "check", checked.cluster)
    assert done.returncode == 1 and "are not authorized" in done.stderr, done
    text = checked.bailiwick.do("cluster", "check", checked.cluster, "--manifest")
    role, binding = yaml.safe_load_all(text)
    given = set()
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    given |= {(group, resource, name, verb) for verb in rule["verbs"]}
    assert given == ALL - held
    assert binding["subjects"] == [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": checked.user}]
    kubectl(api_server, tmp_path, "apply", "-f", "-", text=text)
    try:
        until(lambda: allowed(kube, checked.user, sorted(ALL - held)[-1]), 10, "the manifest has its effect")
        assert checked.bailiwick.cli("cluster", "check", checked.cluster)["authorized"]
        again = checked.bailiwick.run("cluster", "check", checked.cluster, "--manifest")
        assert (again.returncode, again.stdout) == (0, ""), again
    finally:
        kubectl(api_server, tmp_path, "delete", "-f", "-", text=text)


def test_what_changed_since_a_former_check_is_shown(checked):
    checked.give(ALL)
    first = checked.check()
    lost = {("", "pods/status", "", "patch")}
    secret = {("", "secrets", "", "list")}
    checked.give((ALL - lost) | secret)
    until(lambda: allowed(checked.kube, checked.user, ("", "secrets", "", "list")), 10, "secrets may be listed")
    done = checked.bailiwick.run("cluster", "check", checked.cluster, "--since", "last", "-o", "json")
    assert done.returncode == 1, done
    [row] = json.loads(done.stdout)["changes"]["rows"]
    assert (row["function"], row["was"], row["now"]) == ("Container Security Response", True, False)
    assert [right["verb"] for right in row["lost"]] == ["patch"]
    assert json.loads(done.stdout)["changes"]["surplusGained"] == ["list secrets"]
    since = checked.bailiwick.run("cluster", "check", checked.cluster, "--since", first["checkedAt"])
    assert "no longer allowed: patch pods/status" in since.stdout, since
    before = checked.bailiwick.run("cluster", "check", checked.cluster, "--since", "2020-01-01T00:00:00Z")
    assert (before.returncode, before.stdout) == (1, ""), before


def test_the_connector_holds_what_it_needs_and_nothing_dangerous(bailiwick, api_server, kube):
    cluster = bailiwick.add_cluster(api_server)
    found = bailiwick.client().call("POST", f"/bailiwick/v1/clusters/{cluster}/check", {})
    assert found["identity"] == "system:serviceaccount:bailiwick-system:bailiwick-connector"
    assert all(row["authorized"] for row in found["rows"] if row["set"] == "bailiwick"), found["rows"]
    assert found["surplus"] == []
    token = base64.b64decode(
        kube.get("/api/v1/namespaces/bailiwick-system/secrets/bailiwick-connector")["data"]["token"]
    ).decode()
    checks = bailiwick.client().call("GET", f"/bailiwick/v1/clusters/{cluster}/checks")
    audit = bailiwick.client().call("GET", "/bailiwick/v1/audit-events?limit=1000")
    shown = json.dumps([found, checks, audit]) + bailiwick.process.output()
    assert token not in shown
    for file in pathlib.Path(bailiwick.data).rglob("*"):
        assert not file.is_file() or token.encode() not in file.read_bytes(), file


def test_what_a_superuser_holds_too_much_is_named(bailiwick, api_server):
    cluster = bailiwick.add_cluster_as_root(api_server)
    found = bailiwick.client().call("POST", f"/bailiwick/v1/clusters/{cluster}/check", {})
    assert found["authorized"]
    held = " ".join(surplus["what"] for surplus in found["surplus"])
    for right in ["* *.*", "list, watch secrets", "escalate", "bind", "impersonate", "approve", "serviceaccounts/token",
                  "mutatingwebhookconfigurations", "deployments.apps", "pods/exec", "nodes/proxy"]:
        assert right in held, right


def test_a_cluster_that_cannot_be_asked_is_an_error_of_its_own_and_slows_nobody_else(
    bailiwick, checked, api_server, other_api_server
):
    found = {}

    def ask(name):
        began = time.monotonic()
        answer = bailiwick.client().request("POST", f"/bailiwick/v1/clusters/{clusters[name]}/check", {})
        found[name] = (answer, time.monotonic() - began)

    with hostile.servers(api_server.authority, other_api_server.authority) as urls:
        clusters = {
            name: bailiwick.add_cluster(kubeconfig=checked.kubeconfig.replace(api_server.url, url))
            for name, url in urls.items()
        }
        threads = [threading.Thread(target=ask, args=(name,)) for name in clusters]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        assert checked.check()["rows"]
        beside = time.monotonic() - began
        for thread in threads:
            thread.join(20)
    assert beside < 5, beside
    texts = {}
    for name, (answer, seconds) in found.items():
        assert answer.status == 409 and seconds < 10, (name, answer, seconds)
        texts[name] = answer.json()["error"]["message"].split("could not be asked: ", 1)[1]
    assert len(texts) == len(urls)
    # What is not JSON and what is not an answer are both unreadable, and both kinds of silence are silence.
    assert texts["html"] == texts.pop("no answer")
    assert texts["silent"] == texts.pop("mute")
    assert len(set(texts.values())) == len(texts), texts
    key = bailiwick.add_key(bailiwick.add_user())
    assert bailiwick.client(key).request("POST", f"/bailiwick/v1/clusters/{clusters['silent']}/check", {}).status == 403


def test_who_may_not_say_where_a_cluster_is_is_not_told_what_is_there(bailiwick, checked):
    kubeconfig = yaml.safe_load(checked.kubeconfig)
    kubeconfig["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    cluster = bailiwick.add_cluster(kubeconfig=yaml.safe_dump(kubeconfig))
    statement = {"Action": ["bailiwick:cluster:check"], "Effect": "Allow", "Resource": ["*"]}
    document = json.dumps({"Version": "5.0", "Statement": [statement]})
    name = f"checker-{secrets.token_hex(3)}"
    bailiwick.do("policy", "create", name, "--document", "-", text=document)
    user = bailiwick.add_user()
    bailiwick.do("policy", "attach", name, "--user", user)
    answer = bailiwick.client(bailiwick.add_key(user)).request("POST", f"/bailiwick/v1/clusters/{cluster}/check", {})
    assert answer.status == 409 and "is told why" in answer.json()["error"]["message"], answer
    told = bailiwick.client().request("POST", f"/bailiwick/v1/clusters/{cluster}/check", {})
    assert "refused" in told.json()["error"]["message"], told
