"""How the server starts, what it refuses to start with, what it leaves on disk, and how it ends."""

import contextlib
import http.client
import json
import pathlib
import re
import secrets
import signal
import ssl
import stat
import subprocess
import time
import urllib.request

import pytest

from harness import figures
from harness.certificates import Authority
from harness.postgres import Postgres
from harness.process import clean_environment, until
from harness.wire import connect, read_answer, request_bytes, send_raw

PATH = "/api/v3/access-policies"
MIB = 1024 * 1024


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_start_writes_what_it_made_up_where_only_its_owner_reads(new_server):
    server = new_server(bootstrap=False).start(umask=0o000)
    written = server.data / "bootstrap.env"
    assert (mode(server.data), mode(written)) == (0o700, 0o600)
    for file in server.data.rglob("*"):
        assert mode(file) & 0o077 == 0, f"{file} is readable by others"
    values = dict(
        line.split("=", 1) for line in written.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    )
    names = [
        "ACCOUNT_ID",
        "PROJECT_ID",
        "PROJECT_NAME",
        "USER_ID",
        "USER_NAME",
        "PASSWORD",
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
    ]
    assert {f"BAILIWICK_BOOTSTRAP_{name}" for name in names} <= set(values)
    key = (values["BAILIWICK_BOOTSTRAP_ACCESS_KEY_ID"], values["BAILIWICK_BOOTSTRAP_SECRET_ACCESS_KEY"])
    assert server.policies(key).list().status_code == 200
    log = server.process.output()
    for name in ("PASSWORD", "SECRET_ACCESS_KEY"):
        assert values[f"BAILIWICK_BOOTSTRAP_{name}"] not in log
    master_key = server.home / "config/bailiwick/master.key"
    assert mode(master_key) == 0o600
    for folder in (master_key.parent, master_key.parent.parent):
        assert mode(folder) == 0o700, f"others could replace the key in {folder}"
    assert master_key.read_text(encoding="utf-8").strip() not in log


def test_a_first_start_takes_what_it_is_given_and_writes_no_secret_of_it(new_server):
    server = new_server().start()
    user = server.client().call("GET", f"/bailiwick/v1/users/{server.root}")
    assert (user["name"], user["root"]) == (server.user_name, True)
    projects = server.client().all("/bailiwick/v1/projects")
    assert [(one["id"], one["name"]) for one in projects] == [(server.project, server.project_name)]
    written = server.data / "bootstrap.env"
    for secret in (server.password, server.secret):
        assert secret not in server.process.output()
        assert not written.exists() or secret not in written.read_text(encoding="utf-8")


def test_no_secret_reaches_the_log_or_the_database_in_clear(new_server, api_server):
    server = new_server(environment={"BAILIWICK_LOG": "debug", "RUST_LOG": "debug"}).start()
    user = server.add_user()
    key = server.add_key(user)
    server.client().call("PUT", f"/bailiwick/v1/users/{user}/password", {"password": "Very-secret-9"}, status=204)
    body = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {
                        "name": server.user_name,
                        "password": server.password,
                        "domain": {"name": server.user_name},
                    }
                },
            }
        }
    }
    headers = [("Host", "localhost"), ("Content-Type", "application/json")]
    token = send_raw(
        server.base, request_bytes("POST", "/v3/auth/tokens", headers, json.dumps(body).encode()), "POST"
    ).headers["X-Subject-Token"]
    send_raw(server.base, request_bytes("GET", PATH, [("Host", "localhost"), ("X-Auth-Token", token)]))
    server.add_cluster(api_server)
    client_key = re.search(r"client-key-data: (\S+)", api_server.kubeconfig)[1]
    server.stop()
    stored = b"".join(file.read_bytes() for file in server.data.rglob("*") if file.is_file())
    said = server.process.output().encode()
    for secret in (server.secret, server.password, key[1], "Very-secret-9", token, client_key[40:100]):
        assert secret.encode() not in said, "in the log"
        assert secret.encode() not in stored, "in the data folder"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_everything_is_still_there_after_a_restart(new_server, database_url, kind):
    server = new_server(database=database_url(kind)).start()
    user = server.add_user()
    policy = server.policies().create(ids=[user]).policy_id
    assert server.stop() == 0
    server.start()
    assert server.policies().get(policy).principal.ids == [user]
    assert len(server.client().all("/bailiwick/v1/projects")) == 1


def test_two_servers_that_start_on_one_empty_database_make_one_account(new_server, postgres):
    database = postgres.create_database(f"race_{secrets.token_hex(4)}")
    first, second = new_server(database=database), new_server(database=database)
    second.environment = dict(first.environment)
    for name in ("key_id", "secret", "project", "account", "root"):
        setattr(second, name, getattr(first, name))
    shared = first.folder / "shared-master.key"
    donor = new_server().start()
    shared.write_bytes((donor.home / "config/bailiwick/master.key").read_bytes())
    shared.chmod(0o600)
    for one in (first, second):  # neither waits for the other
        one.launch(BAILIWICK_MASTER_KEY_FILE=shared)
    for one in (first, second):
        one.base = one.process.wait_ready(one._announced, 30, "listening")
        one.process.wait_ready(one.is_ready, 30, "ready")
    user = first.add_user()
    until(lambda: second.client().request("GET", f"/bailiwick/v1/users/{user}").status == 200, 5, "the other sees it")
    assert len(second.client().all("/bailiwick/v1/projects")) == 1
    assert [one["root"] for one in second.client().all("/bailiwick/v1/users")].count(True) == 1


# --- what it refuses --------------------------------------------------------------------------------------------


def test_a_wrong_or_missing_master_key_refuses_to_start_and_says_which_is_needed(new_server):
    server, other = new_server().start(), new_server().start()
    server.stop()
    key = server.home / "config/bailiwick/master.key"
    wrong = other.home / "config/bailiwick/master.key"
    said = [server.refuses_to_start(BAILIWICK_MASTER_KEY_FILE=wrong)]
    kept = key.rename(server.folder / "kept.key")
    said.append(server.refuses_to_start())
    assert not key.exists(), "no new key may be made for a database that has one"
    ids = [set(re.findall(r"\b[0-9a-f]{8,}\b", text)) for text in said]
    assert ids[0] & ids[1], f"both name the key that is needed: {said}"
    kept.rename(key)
    server.start()


def test_a_master_key_inside_the_data_folder_is_refused(new_server):
    server = new_server()
    server.data.mkdir(mode=0o700)
    said = server.refuses_to_start(BAILIWICK_MASTER_KEY_FILE=server.data / "master.key")
    assert "master key" in said
    assert "data folder" in said


def test_a_master_key_that_a_link_leads_into_the_data_folder_is_refused(new_server):
    server = new_server()
    server.data.mkdir(mode=0o700)
    link = server.folder / "link"
    link.symlink_to(server.data)
    said = server.refuses_to_start(BAILIWICK_MASTER_KEY_FILE=link / "sub" / "master.key")
    assert "data folder" in said
    assert not list(server.data.rglob("master.key"))


def test_a_key_in_a_folder_that_others_may_write_is_refused(new_server):
    server = new_server()
    folder = server.folder / "open"
    folder.mkdir()
    folder.chmod(0o777)
    assert "written by others" in server.refuses_to_start(BAILIWICK_MASTER_KEY_FILE=folder / "master.key")


def test_a_database_that_is_a_link_is_refused_and_its_target_untouched(new_server):
    server = new_server()
    server.data.mkdir(mode=0o700)
    victim = server.folder / "victim"
    victim.write_text("precious", encoding="utf-8")
    victim.chmod(0o644)
    (server.data / "bailiwick.db").symlink_to(victim)
    assert "link" in server.refuses_to_start()
    assert (victim.read_text(encoding="utf-8"), mode(victim)) == ("precious", 0o644)


def test_a_second_server_on_one_embedded_database_is_refused(new_server):
    first = new_server().start()
    second = first.another()
    second.data = first.data
    try:
        assert "another server works on" in second.refuses_to_start()
        assert first.is_ready()
        first.process.stop(by=signal.SIGKILL)
        second.start()
    finally:
        second.stop()


def test_a_readable_master_key_is_refused(new_server):
    server = new_server().start()
    server.stop()
    key = server.home / "config/bailiwick/master.key"
    key.chmod(0o644)
    assert "chmod 600" in server.refuses_to_start()


def test_without_a_home_it_asks_for_a_key_file(new_server):
    server = new_server()
    said = server.refuses_to_start(HOME="", XDG_CONFIG_HOME="")
    assert "BAILIWICK_MASTER_KEY_FILE" in said


def test_without_xdg_config_home_the_key_is_made_below_the_home(new_server):
    server = new_server().start(XDG_CONFIG_HOME="")
    assert mode(server.home / ".config/bailiwick/master.key") == 0o600
    assert not list(server.data.rglob("*.key"))


def test_an_open_data_folder_is_refused_or_closed(new_server):
    server = new_server()
    server.data.mkdir()
    server.data.chmod(0o777)
    server.launch()
    until(lambda: not server.process.running() or server._announced(), 20, "it starts or ends")
    assert not server.process.running() or mode(server.data) == 0o700


def test_a_public_address_without_tls_is_refused(new_server):
    said = new_server(arguments=["--listen", "0.0.0.0:0"]).refuses_to_start()
    assert "--insecure-plain-http" in said
    assert "--tls-cert" in said


def test_with_tls_it_speaks_https(new_server, tmp_path):
    authority = Authority(str(tmp_path))
    certificate, key = authority.server("bailiwick")
    server = new_server(arguments=["--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key])
    server.launch()
    server.base = server.process.wait_ready(server._announced, 30, "listening")
    assert server.base.startswith("https://")
    context = ssl.create_default_context(cafile=authority.certificate)
    with urllib.request.urlopen(f"{server.base}/healthz", timeout=5, context=context) as answer:
        assert answer.status == 200
    assert server.policies().list().status_code == 200


def test_an_unknown_setting_is_refused_and_named(new_server):
    assert "policy_typs" in new_server(config='[cce]\npolicy_typs = "2025-08"\n').refuses_to_start()
    assert "policy_types" in new_server(config='[cce]\npolicy_types = "2024-01"\n').refuses_to_start()


# --- demo -------------------------------------------------------------------------------------------------------


def test_the_demo_prints_calls_that_work_and_marks_every_answer(new_server):
    server = new_server(bootstrap=False, arguments=["--listen", "127.0.0.1:0", "--demo"]).start()
    said = server.process.output()
    commands = "\n".join(line for line in said.splitlines() if line.startswith("  "))
    done = subprocess.run(
        ["bash", "-e", "-c", commands], capture_output=True, text=True, timeout=60, env=clean_environment(), check=False
    )
    assert done.returncode == 0, f"{commands}\n{done.stderr}"
    assert "accessPolicyList" in done.stdout
    file = pathlib.Path(re.search(r"\. (\S+);", commands)[1])
    assert mode(file) == 0o600
    values = dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines())
    key = (values["BAILIWICK_ACCESS_KEY_ID"], values["BAILIWICK_SECRET_ACCESS_KEY"])
    assert key[1] not in said
    client = server.client(key)
    for path in (PATH, *(f"/bailiwick/v1/{noun}" for noun in ("users", "groups", "clusters", "grants"))):
        answer = client.request("GET", path)
        assert answer.headers["X-Bailiwick-Demo"] == "true"
        body = answer.json()
        assert body.get("items") or body.get("accessPolicyList"), f"the demo has something at {path}"
    server.stop()
    server.start()
    assert server.client(key).raw("GET", PATH).status == 401, "each start makes new credentials"


def test_the_demo_refuses_a_public_address(new_server):
    for more in ([], ["--insecure-plain-http"]):
        said = new_server(bootstrap=False, arguments=["--listen", "0.0.0.0:0", "--demo", *more]).refuses_to_start()
        assert "loopback" in said


def test_the_demo_refuses_a_database_that_is_not_its_own(new_server, postgres):
    server = new_server().start()
    user = server.add_user()
    server.stop()
    plain, server.arguments = server.arguments, [*server.arguments, "--demo"]
    assert "demo" in server.refuses_to_start()
    server.arguments = plain
    server.start()
    assert server.client().call("GET", f"/bailiwick/v1/users/{user}")["id"] == user

    database = postgres.create_database(f"demo_{secrets.token_hex(4)}")
    real = new_server(database=database).start()
    real.stop()
    real.arguments = [*real.arguments, "--demo"]
    assert "demo" in real.refuses_to_start()


def test_a_demos_folder_is_refused_for_real_use(new_server):
    server = new_server()
    plain, server.arguments = server.arguments, [*server.arguments, "--demo"]
    server.start()
    server.stop()
    server.arguments = plain
    assert "demo" in server.refuses_to_start()


# --- while it runs, and its end ---------------------------------------------------------------------------------


def test_health_and_readiness_are_open_and_say_little(bailiwick):
    for path in ("/healthz", "/readyz"):
        answer = send_raw(bailiwick.base, request_bytes("GET", path, [("Host", "localhost")]))
        assert answer.status == 200
        for word in (bailiwick.account, bailiwick.project, bailiwick.root, bailiwick.user_name, bailiwick.key_id):
            assert word.encode() not in answer.body


def test_a_server_whose_database_is_away_lives_is_not_ready_and_says_so(new_server):
    database = Postgres()
    try:
        server = new_server(database=database.create_database("away")).start()
        database.process.stop(by=signal.SIGINT)

        def fetch(path):
            with contextlib.closing(http.client.HTTPConnection(server.base.removeprefix("http://"), timeout=30)) as one:
                one.request("GET", path)
                answer = one.getresponse()
                return answer.status, answer.read().decode()

        until(lambda: fetch("/readyz")[0] == 503, 40, "it is not ready")
        assert fetch("/healthz")[0] == 200
        assert "bailiwick_database_up 0" in fetch("/metrics")[1]
        assert server.process.running()
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin <= 10, "it ends without its database"
    finally:
        database.stop()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_end_it_well(new_server, how):
    server = new_server().start()
    server.process.popen.send_signal(how)
    assert server.process.popen.wait(10) == 0


def test_memory_after_the_start_is_at_most_60_mib(new_server, api_server):
    server = new_server().start()
    idle = server.resident_bytes()
    server.add_cluster(api_server)
    connected = server.resident_bytes()
    figures.note(
        f"resident memory after start: {idle / MIB:.1f} MiB; with one cluster connected: {connected / MIB:.1f} MiB"
    )
    assert idle <= 60 * 1000 * 1000


def test_sigterm_finishes_what_is_in_flight_and_ends(new_server):
    server = new_server().start()
    user, client = server.add_user(), server.client()
    client.call("GET", PATH)  # leaves a connection open and idle
    body = json.dumps(
        {
            "name": "last",
            "clusters": ["*"],
            "accessScope": {"namespaces": ["*"]},
            "policyType": "CCEViewPolicy",
            "principal": {"type": "user", "ids": [user]},
        }
    ).encode()
    headers = [*client.headers("POST", PATH, body), ("Expect", "100-continue")]
    request = request_bytes("POST", PATH, headers, body)
    with connect(server.base) as sock:
        sock.sendall(request[:-20])
        _waits_for_the_body(sock)
        begin = time.monotonic()
        server.process.popen.terminate()
        until(lambda: _closed(server.base), 5, "no new connections are taken")
        assert server.process.running()
        sock.sendall(request[-20:])
        answer = read_answer(sock, "POST")
    assert answer.status == 201, answer
    assert server.process.popen.wait(10) == 0
    figures.note(f"SIGTERM to the end, with one request in flight: {time.monotonic() - begin:.2f} s")
    server.start()
    assert answer.json()["policyId"] in server.policies().ids()


def test_a_request_that_never_ends_does_not_hold_up_the_end(new_server):
    server = new_server().start()
    with connect(server.base) as sock:
        sock.sendall(request_bytes("POST", PATH, [("Host", "localhost"), ("Expect", "100-continue")], b"{", length=10))
        _waits_for_the_body(sock)
        begin = time.monotonic()
        server.process.popen.terminate()
        server.process.popen.wait(15)
    assert time.monotonic() - begin <= 11


def _waits_for_the_body(sock):
    """Returns when the server has read the head and asks for the body: the request is in flight."""
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        part = sock.recv(1)
        assert part, f"the server closed after {said!r}"
        said += part
    assert said.startswith(b"HTTP/1.1 100"), said


def _closed(base):
    try:
        connect(base).close()
        return False
    except (TimeoutError, ConnectionRefusedError, ConnectionResetError):
        return True
