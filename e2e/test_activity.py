"""Who was active in a cluster, from the log that a real API server writes."""

import secrets

import pytest

from harness import apiserver

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: Metadata, omitStages: [RequestReceived]}]
"""


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A cluster whose API server writes an audit log: (cluster, log)."""
    folder = tmp_path_factory.mktemp("audit")
    policy, log = folder / "policy.yaml", folder / "audit.log"
    policy.write_text(POLICY, encoding="utf-8")
    flags = (f"--audit-policy-file={policy}", f"--audit-log-path={log}", "--audit-log-mode=blocking")
    running = apiserver.ApiServer(apiserver.programs(), *flags)
    yield running, log
    running.stop()


def test_whoever_called_a_real_api_server_is_active_and_nobody_else(bailiwick, audited):
    server, log = audited
    cluster = bailiwick.cli("cluster", "add", f"cluster-{secrets.token_hex(4)}")
    here, named, away = (bailiwick.cli("user", "create", f"user-{secrets.token_hex(4)}") for _ in range(3))
    for user in (here, named, away):
        scope = ("--role", "viewer", "--cluster", cluster["id"], "--all-namespaces")
        bailiwick.cli("user", "add-permission", user["id"], *scope)
    assert server.client_as(here["id"]).get("/version")["major"]
    # As the name of a kubeconfig of ours would be.
    assert server.client_as(f"{named['id']}:0123456789abcdef").get("/version")["major"]
    done = bailiwick.cli("cluster", "import-audit-log", cluster["name"], log)
    assert (done["known"], done["badLines"]) == (2, 0) and done["events"] > 100
    # The administrator of the cluster itself is nobody of ours.
    assert done["unknown"] >= 1
    for user, what in ((here, "was active"), (named, "was active"), (away, "it is not known")):
        refused = bailiwick.run("user", "clean", user["id"])
        assert refused.returncode == 1 and what in refused.stderr, refused.stderr
