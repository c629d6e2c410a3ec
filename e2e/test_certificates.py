"""The certificate that is served, replaced under way; and credentials of clusters that end soon."""

import http.client
import shutil
import signal
import ssl
import subprocess
import urllib.request

import pytest

from harness.certificates import Authority
from harness.process import until


@pytest.fixture
def authority(tmp_path):
    return Authority(str(tmp_path))


@pytest.fixture
def served(new_server, authority, tmp_path):
    """A server with TLS: the server and the paths of its certificate and key."""
    cert, key = tmp_path / "served.crt", tmp_path / "served.key"
    put(authority, "first", cert, key)
    server = new_server(arguments=["--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key]).launch()
    server.base = server.process.wait_ready(server._announced, 30, "listening")
    until(lambda: connected(server, authority), 10, "it serves TLS")
    return server, cert, key


def put(authority, name, cert, key):
    """Puts a new pair in the place of the files, one after the other, as tools do."""
    for source, target in zip(authority.server(name), (cert, key)):
        draft = target.with_suffix(".draft")
        shutil.copy(source, draft)
        draft.rename(target)


def connected(server, authority):
    host = server.base.removeprefix("https://")
    context = ssl.create_default_context(cafile=authority.certificate)
    connection = http.client.HTTPSConnection(host, timeout=10, context=context)
    connection.connect()
    return connection


def name_of(connection):
    subject = connection.sock.getpeercert()["subject"]
    return dict(part for parts in subject for part in parts)["commonName"]


def get(connection, path):
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def metrics(connection):
    lines = get(connection, "/metrics")[1].splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))


def test_a_new_certificate_is_served_without_a_restart_and_no_connection_ends(served, authority):
    server, cert, key = served
    kept = connected(server, authority)
    assert name_of(kept) == "first"
    end = float(metrics(kept)["bailiwick_tls_certificate_expiry_timestamp_seconds"])
    said = subprocess.run(
        ["openssl", "x509", "-in", cert, "-noout", "-enddate"], check=True, capture_output=True, text=True
    ).stdout
    assert end == ssl.cert_time_to_seconds(said.strip().split("=")[1])
    assert "the certificate that is served ends on" in server.process.output(), "it has two days"
    put(authority, "second", cert, key)
    until(lambda: name_of(connected(server, authority)) == "second", 10, "the new certificate is served")
    assert get(kept, "/healthz")[0] == 200, "the connection from before goes on"
    assert server.process.running()


def test_a_broken_pair_is_not_served_and_is_reported(served, authority):
    server, cert, key = served
    kept = connected(server, authority)
    good = key.read_bytes()
    key.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n", encoding="utf-8")
    until(lambda: metrics(kept)["bailiwick_tls_reload_failing"] == "1", 10, "the metric says so")
    assert name_of(connected(server, authority)) == "first"
    assert "cannot serve the new certificate, the former one stays" in server.process.output()
    assert "nonsense" not in server.process.output()
    other = Authority(str(cert.parent)).server("other")[1]
    shutil.copy(other, key)  # a key, and not the certificate's
    until(lambda: server.process.output().count("cannot serve the new certificate") == 2, 10, "said for this one, too")
    key.write_bytes(good)
    until(lambda: metrics(kept)["bailiwick_tls_reload_failing"] == "0", 10, "and that it is over")


def test_a_hang_up_makes_it_read_at_once_and_does_not_end_it(served, authority):
    server, cert, key = served
    kept = connected(server, authority)
    put(authority, "second", cert, key)
    server.process.popen.send_signal(signal.SIGHUP)
    until(lambda: name_of(connected(server, authority)) == "second", 10, "the new certificate is served")
    until(lambda: "holding master keys" in server.process.output(), 10, "keys are read again, too")
    assert get(kept, "/healthz")[0] == 200


def test_a_clusters_credential_that_ends_soon_is_counted_and_named_in_the_log(new_server, api_server):
    server = new_server().start()
    cluster = server.add_cluster_as_root(api_server)  # its certificate is for two days
    detached = server.add_cluster()

    def counts():
        with urllib.request.urlopen(f"{server.base}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        mine = [line for line in lines if line.startswith("bailiwick_cluster_credentials")]
        return {line.split('"')[1]: line.split()[-1] for line in mine}

    until(lambda: counts() == {"14d": "1", "7d": "1", "1d": "0", "expired": "0"}, 10, f"{counts()}")
    said = [line for line in server.process.output().splitlines() if "for cluster" in line and " ends on " in line]
    assert len(said) == 1 and f"the certificate for cluster {cluster} " in said[0] and detached not in said[0]
    server.client().call("DELETE", f"/bailiwick/v1/clusters/{cluster}")
    until(lambda: counts()["14d"] == "0", 10, "it is not a cluster any more")
