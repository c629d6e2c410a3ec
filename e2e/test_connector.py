"""Bailiwick with the connector's token alone: what it can do with it, and what a thief of it cannot.

The tests imported from `test_enforcement` run here a second time, in a cluster that was added by `--context`.
"""

import base64
import http.server
import json
import os
import secrets
import shutil
import subprocess
import threading

import pytest
import yaml

from harness.kube import RBAC, cluster_role_binding, role_binding
from harness.process import clean_environment, until
from harness.server import REPOSITORY, program
from test_enforcement import (  # noqa: F401  (collected here again, with this file's `cluster`)
    binding,
    policies,
    test_a_binding_made_anew_with_another_role_is_replaced,
    test_a_deleted_binding_is_made_again,
    test_a_group_gives_to_whoever_presents_it,
    test_a_missing_namespace_is_named_and_gets_its_binding_when_it_appears,
    test_a_relabelled_and_edited_binding_stays_ours,
    test_a_role_change_never_takes_away_what_both_roles_allow,
    test_a_role_that_reads_neither_reads_secrets_nor_executes,
    test_a_subject_that_somebody_added_is_taken_out,
    test_a_subject_that_somebody_removed_is_put_back,
    test_a_user_granted_a_namespace_may_act_there_and_nowhere_else,
    test_all_namespaces_include_those_that_are_created_later,
    test_an_agency_is_a_user_of_the_cluster,
    test_foreign_bindings_are_never_touched_and_named_when_they_still_grant,
    test_stripped_labels_come_back,
    test_taking_one_person_out_of_a_policy_leaves_the_others,
    test_the_operator_reads_nodes_and_volumes_but_changes_only_what_is_namespaced,
    user,
)

SYSTEM = "bailiwick-system"
CONNECTOR = {"kind": "ServiceAccount", "name": "bailiwick-connector", "namespace": SYSTEM}
OURS = ("bailiwick:operator", "bailiwick:operator-cluster-scoped", "bailiwick:administrator-view")


@pytest.fixture(scope="module")
def kubectl_arguments(tmp_path_factory):
    """A kubectl that writes its arguments down before it does what they say: (its folder, where it writes)."""
    folder = tmp_path_factory.mktemp("kubectl")
    written = folder / "arguments"
    script = folder / "kubectl"
    script.write_text(f'#!/bin/sh\necho "$@" >> {written}\nexec {shutil.which("kubectl")} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return folder, written


@pytest.fixture(scope="module")
def cluster(bailiwick, api_server, kube, kubectl_arguments):
    """The shared cluster, with nothing but the base connector in it."""
    yield bailiwick.add_cluster_by_context(api_server, env={"PATH": f"{kubectl_arguments[0]}:{os.environ['PATH']}"})
    for name in ("connector", "connector-administrator"):
        kube.delete(f"{RBAC}/clusterrolebindings/bailiwick:{name}")


@pytest.fixture(scope="module")
def token(kube, cluster):
    """The connector's token, as a thief has it."""
    secret = kube.get(f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-connector")
    return base64.b64decode(secret["data"]["token"]).decode()


@pytest.fixture
def thief(api_server, token):
    return api_server.client_with_token(token)


def kubectl(server, api_server, verb, manifest):
    """Applies or deletes a manifest that the program printed, as its documents say."""
    file = server.folder / "by-hand.kubeconfig"
    file.write_text(api_server.kubeconfig, encoding="utf-8")
    done = subprocess.run(
        ["kubectl", "--kubeconfig", file, verb, "-f", "-"],
        input=manifest,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(HOME=server.home),
        check=False,
    )
    assert done.returncode == 0, done.stderr


def grant(server, cluster, user, role):
    body = {
        "name": role.replace(":", "-"),
        "role": role,
        "principals": {"type": "user", "ids": [user]},
        "clusters": [cluster],
        "namespaces": ["*"],
    }
    return server.client().call("POST", "/bailiwick/v1/grants", body, status=201)["id"]


# --- adding a cluster -------------------------------------------------------------------------------------------


def test_no_secret_is_in_an_argument_of_kubectl(cluster, token, kubectl_arguments):
    written = kubectl_arguments[1].read_text(encoding="utf-8")
    assert "apply" in written and "get secret" in written
    assert token not in written and "BEGIN" not in written and "client-key" not in written


class Recorder(http.server.BaseHTTPRequestHandler):
    """Takes what the command line uploads, and says that it was made."""

    def do_POST(self):
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = json.dumps({"id": "recorded", "name": "recorded"}).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_nothing_but_the_connectors_token_is_uploaded(bailiwick, api_server, token):
    file = bailiwick.folder / "upload"
    file.write_text(api_server.kubeconfig, encoding="utf-8")
    recorder = http.server.HTTPServer(("127.0.0.1", 0), Recorder)
    recorder.bodies = []
    threading.Thread(target=recorder.serve_forever, daemon=True).start()
    try:
        server = f"http://127.0.0.1:{recorder.server_port}"
        env = {"KUBECONFIG": str(file)}
        bailiwick.do("--server", server, "cluster", "add", "x", "--context", "e2e", env=env)
    finally:
        recorder.shutdown()
        recorder.server_close()
    [body] = recorder.bodies
    config = yaml.safe_load(body["kubeconfig"])
    own = yaml.safe_load(api_server.kubeconfig)
    assert config["users"] == [{"name": "user", "user": {"token": token}}]
    assert config["clusters"] == [{"name": "cluster", "cluster": own["clusters"][0]["cluster"]}]


def test_without_kubectl_adding_by_context_says_so_and_registers_nothing(bailiwick, api_server):
    file = bailiwick.folder / "config"
    file.write_text(api_server.kubeconfig, encoding="utf-8")
    env = {"KUBECONFIG": str(file), "PATH": "/nonexistent"}
    refused = bailiwick.run("cluster", "add", "no-kubectl", "--context", "e2e", env=env)
    assert refused.returncode == 1
    assert "kubectl is not installed" in refused.stderr and "cluster manifest base" in refused.stderr
    assert "no-kubectl" not in bailiwick.do("cluster", "list")


def test_a_context_that_may_not_make_roles_registers_nothing(bailiwick, api_server):
    file = bailiwick.folder / "weak"
    file.write_text(api_server.kubeconfig_for("nobody-in-particular"), encoding="utf-8")
    refused = bailiwick.run("cluster", "add", "weak", "--context", "e2e", env={"KUBECONFIG": str(file)})
    assert refused.returncode == 1
    assert "`kubectl apply` failed" in refused.stderr and "forbidden" in refused.stderr.lower()
    assert "weak" not in bailiwick.do("cluster", "list")


def test_the_way_by_hand_works_as_its_readme_says(bailiwick, api_server, cluster, user):
    readme = (REPOSITORY / "deploy/connector/README.md").read_text(encoding="utf-8")
    [block] = [part[3:] for part in readme.split("```") if part.startswith("sh\n") and "go-template" in part]
    name = f"by-hand-{secrets.token_hex(3)}"
    script = block.replace("https://ADDRESS", api_server.url).replace("--context prod", "--context e2e")
    script = script.replace("cluster add prod", f"-o json cluster add {name}")
    folder = bailiwick.folder / "bin"
    folder.mkdir()
    (folder / "bailiwick").symlink_to(program())
    (bailiwick.folder / "hand").write_text(api_server.kubeconfig, encoding="utf-8")
    done = subprocess.run(
        ["sh", "-ec", script],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(
            HOME=bailiwick.home,
            KUBECONFIG=bailiwick.folder / "hand",
            PATH=f"{folder}:{os.environ['PATH']}",
            BAILIWICK_SERVER=bailiwick.base,
            BAILIWICK_ACCESS_KEY_ID=bailiwick.key_id,
            BAILIWICK_SECRET_ACCESS_KEY=bailiwick.secret,
        ),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout[done.stdout.index("{") :])["id"]
    bailiwick.clusters.append((made, api_server))
    bailiwick.until_state(grant(bailiwick, made, user, "viewer"), made, "effective")


def test_a_contexts_own_credential_can_still_be_uploaded(bailiwick, api_server, user):
    cluster = bailiwick.add_cluster_by_context(api_server, "--own-credential", env={"PATH": "/nonexistent"})
    bailiwick.until_state(grant(bailiwick, cluster, user, "administrator"), cluster, "effective")


# --- what the connector can do ----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["administrator-view", "operator", "developer", "viewer", "custom:admin"])
def test_the_base_connector_grants_and_revokes_every_role_but_administrator(bailiwick, kube, cluster, user, role):
    made = grant(bailiwick, cluster, user, role)
    bailiwick.until_state(made, cluster, "effective")
    bailiwick.do("grant", "delete", made)
    bailiwick.until_state(made, cluster, "revoked")
    assert kube.bindings_naming(user) == []


def test_cluster_roles_that_are_as_they_should_be_are_not_written(bailiwick, kube, cluster, user):
    def versions():
        return [kube.get(f"{RBAC}/clusterroles/{name}")["metadata"]["resourceVersion"] for name in OURS]

    until(lambda: kube.get(f"{RBAC}/clusterroles/bailiwick:operator").get("rules"), 15, "the cluster fills the role")
    before = versions()
    for role in ("operator", "administrator-view"):
        bailiwick.until_state(grant(bailiwick, cluster, user, role), cluster, "effective")
    assert versions() == before
    assert "fleet.cluster_role" not in bailiwick.process.output()


def test_administrator_fails_with_a_sentence_until_its_manifest_is_applied(bailiwick, api_server, kube, cluster, user):
    made = grant(bailiwick, cluster, user, "administrator")
    row = bailiwick.until_state(made, cluster, "failed")
    assert "the connector may not bind cluster-admin" in row["reason"]
    assert "deploy/connector/administrator.yaml" in row["reason"]
    # What it may grant is not held up by what it may not.
    bailiwick.until_state(grant(bailiwick, cluster, user, "viewer"), cluster, "effective")

    manifest = bailiwick.do("cluster", "manifest", "administrator")
    kubectl(bailiwick, api_server, "apply", manifest)
    try:
        bailiwick.until_state(made, cluster, "effective", timeout=30)
        assert kube.allowed(user, "*", "*", group="*")
        bailiwick.do("grant", "delete", made)
        kube.until_refused(user, "*", "*", group="*")
    finally:
        kubectl(bailiwick, api_server, "delete", manifest)


def test_a_custom_role_fails_with_a_sentence_until_a_bind_on_its_name_is_added(
    bailiwick, api_server, kube, cluster, user
):
    name = f"deployer-{secrets.token_hex(4)}"
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]}]
    kube.create(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    made = grant(bailiwick, cluster, user, f"custom:{name}")
    row = bailiwick.until_state(made, cluster, "failed")
    assert f"a `bind` on {name}" in row["reason"] and "deploy/connector/README.md" in row["reason"]

    group = "rbac.authorization.k8s.io"
    bind = {"apiGroups": [group], "resources": ["clusterroles"], "resourceNames": [name], "verbs": ["bind"]}
    kube.create(f"{RBAC}/clusterroles", {"metadata": {"name": f"bind-{name}"}, "rules": [bind]})
    added = cluster_role_binding(f"bind-{name}", f"bind-{name}", "x")
    kube.create(f"{RBAC}/clusterrolebindings", {**added, "subjects": [CONNECTOR]})
    try:
        bailiwick.until_state(made, cluster, "effective", timeout=30)
        bailiwick.do("grant", "delete", made)
        bailiwick.until_state(made, cluster, "revoked")
    finally:
        kube.delete(f"{RBAC}/clusterrolebindings/bind-{name}")


def test_a_changed_cluster_role_fails_with_a_sentence_until_the_manifest_is_applied_again(
    bailiwick, api_server, kube, cluster, user
):
    made = grant(bailiwick, cluster, user, "administrator-view")
    bailiwick.until_state(made, cluster, "effective")
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    kube.merge(f"{RBAC}/clusterroles/bailiwick:administrator-view", {"rules": rules})
    row = bailiwick.until_state(made, cluster, "failed")
    assert "may not write the ClusterRole bailiwick:administrator-view" in row["reason"]
    assert "deploy/connector/base.yaml" in row["reason"]
    kubectl(bailiwick, api_server, "apply", bailiwick.do("cluster", "manifest", "base"))
    bailiwick.until_state(made, cluster, "effective", timeout=30)
    assert not kube.allowed(user, "get", "secrets")


def test_the_administrators_connector_grants_administrator_at_once(bailiwick, api_server, kube, cluster, user):
    strong = bailiwick.add_cluster_by_context(api_server, "--connector", "administrator")
    try:
        made = grant(bailiwick, strong, user, "administrator")
        bailiwick.until_state(made, strong, "effective")
        bailiwick.do("grant", "delete", made)
        bailiwick.until_state(made, strong, "revoked")
    finally:
        kubectl(bailiwick, api_server, "delete", bailiwick.do("cluster", "manifest", "administrator"))


# --- what a thief of its token cannot do ------------------------------------------------------------------------


POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
CSR = {
    "metadata": {"name": "thief"},
    "spec": {"request": "LS0=", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
}
ROLE = {"metadata": {"name": "all"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
FORBIDDEN = [
    ("read a secret", "GET", "/api/v1/namespaces/kube-system/secrets", None),
    ("read its own secret", "GET", f"/api/v1/namespaces/{SYSTEM}/secrets/bailiwick-connector", None),
    ("request a token", "POST", "/api/v1/namespaces/kube-system/serviceaccounts/default/token", {"spec": {}}),
    ("request a certificate", "POST", CSRS, CSR),
    ("approve a certificate", "PUT", f"{CSRS}/thief/approval", CSR),
    ("create a ClusterRole", "POST", f"{RBAC}/clusterroles", ROLE),
    ("patch a ClusterRole that it may bind", "PATCH", f"{RBAC}/clusterroles/view", ROLE),
    ("patch a ClusterRole of ours", "PATCH", f"{RBAC}/clusterroles/bailiwick:operator", ROLE),
    ("patch its own ClusterRole", "PATCH", f"{RBAC}/clusterroles/bailiwick:connector", ROLE),
    ("create a Role", "POST", f"{RBAC}/namespaces/default/roles", ROLE),
    ("create a pod", "POST", "/api/v1/namespaces/kube-system/pods", POD),
    ("create a namespace", "POST", "/api/v1/namespaces", {"metadata": {"name": "thief"}}),
    ("add a webhook", "POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", {}),
    ("run a command on a node", "GET", "/api/v1/nodes/n/proxy/run/kube-system/p/c", None),
]


def status_of(thief, method, path, body, **options):
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    return thief.request(method, path, body, content_type=kind, **options)[0]


@pytest.mark.parametrize("what, method, path, body", FORBIDDEN, ids=[row[0] for row in FORBIDDEN])
def test_a_stolen_base_token_does_nothing_but_bind(thief, what, method, path, body):
    assert thief.request("GET", f"{RBAC}/clusterrolebindings")[0] == 200, "the token works"
    assert status_of(thief, method, path, body) == 403, what


@pytest.mark.parametrize("role", ["cluster-admin", "system:controller:clusterrole-aggregation-controller"])
def test_a_stolen_base_token_binds_no_role_that_it_was_not_given(kube, thief, role):
    cluster_wide = {**cluster_role_binding("thief", role, "x"), "subjects": [CONNECTOR]}
    within = {**role_binding("thief", "kube-system", role, "x"), "subjects": [CONNECTOR]}
    assert status_of(thief, "POST", f"{RBAC}/clusterrolebindings", cluster_wide) == 403
    assert status_of(thief, "POST", f"{RBAC}/namespaces/kube-system/rolebindings", within) == 403
    # Nor does it get into a binding that is there already.
    joined = {"subjects": [CONNECTOR]}
    assert status_of(thief, "PATCH", f"{RBAC}/clusterrolebindings/cluster-admin", joined) == 403
    existing = kube.get(f"{RBAC}/clusterrolebindings/cluster-admin")
    assert CONNECTOR["name"] not in [subject["name"] for subject in existing["subjects"]]


@pytest.mark.parametrize(
    "headers",
    [
        {"Impersonate-User": "e2e-admin"},
        {"Impersonate-User": "x", "Impersonate-Group": "system:masters"},
        {"Impersonate-User": "system:serviceaccount:kube-system:clusterrole-aggregation-controller"},
    ],
    ids=["a user", "a group", "a service account"],
)
def test_a_stolen_base_token_impersonates_nobody(thief, headers):
    assert status_of(thief, "GET", "/api/v1/namespaces", None, headers=headers) == 403


def test_what_the_base_token_can_still_do_is_as_its_readme_says(kube, thief, namespace):
    made = {**role_binding("to-itself", namespace, "edit", "x"), "subjects": [CONNECTOR]}
    collection = f"{RBAC}/namespaces/{namespace}/rolebindings"
    assert status_of(thief, "POST", collection, made) == 201
    until(lambda: thief.request("GET", f"/api/v1/namespaces/{namespace}/secrets")[0] == 200, 10, "it reads secrets")
    kube.create(collection, role_binding("theirs", namespace, "view", "somebody"))
    assert status_of(thief, "DELETE", f"{collection}/theirs", None) == 200
    kube.delete(f"{collection}/to-itself")
