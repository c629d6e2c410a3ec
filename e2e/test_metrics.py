"""What the server says about itself, to whom, and what it never says."""

import json
import socket
import urllib.error
import urllib.request

from harness.process import until


def fetch(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_metrics_count_and_name_nobody(new_server, api_server):
    address = f"127.0.0.1:{free_port()}"
    server = new_server(arguments=("--listen", "127.0.0.1:0", "--metrics-listen", address)).start()
    user, cluster = server.add_user("name-xyzzy"), server.add_cluster(api_server)
    policy = server.policies().create(ids=[user], clusters=[cluster]).policy_id
    until(lambda: server.state(policy, cluster)["state"] == "effective", 30, "the grant takes effect")
    status, text = fetch(f"http://{address}/metrics")
    assert status == 200
    for line in (
        'bailiwick_requests_total{dialect="huawei",operation="cce.createAccessPolicy",outcome="ok"} 1',
        'bailiwick_clusters{state="connected"} 1',
        'bailiwick_grant_states{state="effective"} 1',
        "bailiwick_reconcile_lag_seconds_count 1",
        "bailiwick_database_up 1",
    ):
        assert line in text.splitlines(), f"{line} in:\n{text}"
    for name in (user, "xyzzy", cluster, policy, server.account, server.project, server.root, server.key_id):
        assert name not in text
    assert fetch(f"http://{address}/readyz")[0] == 404
    assert fetch(f"{server.base}/metrics")[0] == 200
    assert fetch(f"{server.base}/metrics", **{"X-Forwarded-For": "192.0.2.1"})[0] == 401


def test_bootstrap_env_is_remembered_until_it_is_moved(new_server):
    server = new_server(bootstrap=False).start()
    written = server.data / "bootstrap.env"
    warnings = json.loads(fetch(f"{server.base}/readyz")[1])["warnings"]
    assert len(warnings) == 1 and "bootstrap.env" in warnings[0]
    assert "warnings" not in fetch(f"{server.base}/readyz", Via="1.1 proxy")[1]
    assert "bailiwick_bootstrap_file_present 1" in fetch(f"{server.base}/metrics")[1]
    values = dict(line.split("=", 1) for line in written.read_text(encoding="utf-8").splitlines())
    key = (values["BAILIWICK_BOOTSTRAP_ACCESS_KEY_ID"], values["BAILIWICK_BOOTSTRAP_SECRET_ACCESS_KEY"])
    assert "bootstrap.env" in server.run("user", "list", key=key).stderr
    server.stop()
    server.start()
    assert "bootstrap.env holds the first credentials" in server.process.output()
    written.rename(server.folder / "kept.env")
    assert json.loads(fetch(f"{server.base}/readyz")[1]) == {"status": "ok"}
    assert "bootstrap.env" not in server.run("user", "list", key=key).stderr
    assert "bailiwick_bootstrap_file_present 0" in fetch(f"{server.base}/metrics")[1]
