"""Back into an account whose root user's credentials are lost."""

import json

import pytest

from harness.process import until
from harness.wire import request_bytes, send_raw

PATH = "/api/v3/access-policies"


def storage(server):
    return ["--data-dir", server.data, *(["--database", server.database] if server.database else [])]


def log_in(server, name, password):
    user = {"name": name, "password": password, "domain": {"name": server.user_name}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    headers = [("Host", "localhost"), ("Content-Type", "application/json")]
    return send_raw(server.base, request_bytes("POST", "/v3/auth/tokens", headers, json.dumps(body).encode()), "POST")


def by_token(server, token):
    return send_raw(server.base, request_bytes("GET", PATH, [("Host", "localhost"), ("X-Auth-Token", token)])).status


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_account_is_recovered_while_its_server_runs(new_server, database_url, kind):
    server = new_server(database=database_url(kind)).start()
    token = log_in(server, server.user_name, server.password).headers["X-Subject-Token"]
    assert by_token(server, token) == 200
    made = server.cli("recover", *storage(server))
    assert (made["userId"], made["disabledKeys"]) == (server.root, 0)
    until(lambda: by_token(server, token) == 401, 1, "the former token is refused", interval=0.05)
    assert log_in(server, server.user_name, server.password).status == 401
    assert log_in(server, made["userName"], made["password"]).status == 201
    new = (made["accessKeyId"], made["secretAccessKey"])
    assert server.policies(new).list().status_code == 200
    assert server.policies().list().status_code == 200, "the former key goes on unless told otherwise"
    actions = [row["action"] for row in server.cli("audit", "list", key=new)["items"]]
    assert "bailiwick:account:recover" in actions
    assert new[1] not in server.process.output()


def test_a_recovery_disables_the_former_keys_and_leaves_secrets_in_a_file_alone(new_server):
    server = new_server().start()
    file = server.folder / "recovered.env"
    said = server.do("recover", *storage(server), "--disable-keys", "--write-to", file)
    assert file.stat().st_mode & 0o777 == 0o600
    values = dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines())
    secret, password = values["BAILIWICK_SECRET_ACCESS_KEY"], values["BAILIWICK_PASSWORD"]
    assert secret not in said and password not in said
    until(lambda: server.client().raw("GET", PATH).status == 401, 1, "the former key is refused", interval=0.05)
    new = (values["BAILIWICK_ACCESS_KEY_ID"], secret)
    assert server.policies(new).list().status_code == 200
    again = server.run("recover", *storage(server), "--write-to", file)
    assert again.returncode == 1 and "exists" in again.stderr
    assert log_in(server, server.user_name, password).status == 201, "a refused recovery changes nothing"


def test_one_of_several_accounts_has_to_be_named(new_server):
    server = new_server().start()
    server.cli("account", "create", *storage(server), "acme")
    assert "must be named" in server.run("recover", *storage(server)).stderr
    assert server.cli("recover", *storage(server), "--account", "acme")["name"] == "acme"
    assert server.run("recover", *storage(server), "--account", "nobody").returncode == 1
    assert server.policies().list().status_code == 200
