"""A database that is older than what its clusters saw: nothing is applied from it and nobody is let in, until somebody
on the server's machine looked and said that it counts. And backups, restored ones, and removals that nobody decided."""

import json
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from harness.kube import BindingWatch, cluster_role_binding, path_of, subjects
from harness.process import until

BOTH = ["sqlite", "postgres"]


class Data:
    """The data of a server, copied and copied back as an operator would by hand."""

    def __init__(self, server, kind, postgres):
        self.server, self.kind, self.postgres = server, kind, postgres
        self.copies = 0

    def copy(self):
        """A copy of the database of a server that is stopped."""
        self.copies += 1
        if self.kind == "sqlite":
            target = self.server.folder / f"copy-{self.copies}.db"
            shutil.copy(self.server.data / "bailiwick.db", target)
            return target
        name = f"{self.server.database.rsplit('/', 1)[1]}_{self.copies}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE {self.server.database.rsplit('/', 1)[1]}")
        return name

    def put_back(self, copy):
        if self.kind == "sqlite":
            assert not (self.server.data / "bailiwick.db-wal").exists()
            shutil.copy(copy, self.server.data / "bailiwick.db")
            return
        name = self.server.database.rsplit("/", 1)[1]
        self._sql(f"DROP DATABASE {name}")
        self._sql(f"CREATE DATABASE {name} TEMPLATE {copy}")

    def _sql(self, statement):
        url = self.postgres.url()
        subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement], check=True)


@pytest.fixture(params=BOTH)
def installation(request, new_server, database_url):
    """A server on each database, and its data."""
    server = new_server(database=database_url(request.param)).start()
    postgres = request.getfixturevalue("postgres") if request.param == "postgres" else None
    return server, Data(server, request.param, postgres)


def storage(server):
    return ["--data-dir", server.data, *(["--database", server.database] if server.database else [])]


def create(server, user, cluster, namespaces, role="viewer"):
    body = {
        "role": role,
        "principals": {"type": "user", "ids": [user]},
        "clusters": [cluster],
        "namespaces": namespaces,
    }
    return server.client().call("POST", "/bailiwick/v1/grants", body, status=201)["id"]


def readiness(server):
    """(status, parsed body) of /readyz."""
    try:
        with urllib.request.urlopen(f"{server.base}/readyz", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def start_held(server):
    """Starts a server that must find out that its database is an older copy."""
    server.launch()
    server.base = server.process.wait_ready(server._announced, 30, "`listening on …`")
    until(lambda: readiness(server)[1].get("status") == "held", 20, "the installation is held")


def everything(kube):
    """Every binding with its version: whatever is written shows."""
    return {path_of(one): one["metadata"]["resourceVersion"] for one in kube.bindings()}


def ours(kube, cluster):
    return kube.bindings(f"bailiwick.dev/cluster={cluster}")


def confirm(server):
    said = server.do("hold", "confirm", *storage(server))
    assert "tokens ended" in said and "access keys are as they were" in said
    until(lambda: readiness(server)[0] == 200, 10, "the server goes on")


def test_yesterdays_database_gives_nothing_back_until_somebody_confirms_it(installation, api_server, kube):
    server, data = installation
    cluster = server.add_cluster(api_server)
    namespace = kube.create_namespace(f"ns-{secrets.token_hex(4)}")
    leaver, comer = server.add_user(), server.add_user()
    old_key, kept_key = server.add_key(leaver), server.add_key(comer)
    revoked = create(server, leaver, cluster, [namespace], "developer")
    server.until_state(revoked, cluster, "effective")
    server.stop()
    yesterday = data.copy()

    server.start()
    server.client().call("DELETE", f"/bailiwick/v1/grants/{revoked}", status=204)
    server.client().call("DELETE", f"/bailiwick/v1/access-keys/{old_key[0]}", status=204)
    later = create(server, comer, cluster, [namespace])
    server.until_state(later, cluster, "effective")
    kube.until_refused(leaver, "create", "deployments", namespace, group="apps")
    server.stop()
    data.put_back(yesterday)
    before = everything(kube)

    start_held(server)
    assert "restored" not in readiness(server)[1]["reason"] and readiness(server)[0] == 503
    for key in (old_key, kept_key, None):
        answer = server.client(key).request("GET", "/bailiwick/v1/users")
        assert answer.status == 503 and b"bailiwick hold show" in answer.body, answer
        dialect = server.client(key).request("GET", "/api/v3/access-policies")
        assert dialect.status == 503 and {"error_code", "error_msg"} <= set(dialect.json()), dialect
    with urllib.request.urlopen(f"{server.base}/metrics", timeout=5) as metrics:
        assert b"\nbailiwick_held 1\n" in metrics.read()
    with urllib.request.urlopen(f"{server.base}/healthz", timeout=5) as health:
        assert health.status == 200
    shown = until(lambda: _with_plans(server), 15, "the worker's plan is kept")
    assert shown["plans"][0]["clusterId"] == cluster and shown["plans"][0]["grows"] >= 1
    assert any("apply RoleBinding" in line for line in shown["plans"][0]["lines"])
    assert cluster in server.do("hold", "show", *storage(server))
    assert not kube.allowed(leaver, "create", "deployments", namespace, group="apps")
    assert kube.allowed(comer, "get", "pods", namespace), "what was granted since stays, too"
    assert everything(kube) == before, "something was written in the cluster"

    # Neither a restart nor time makes it forget.
    server.stop()
    start_held(server)
    assert everything(kube) == before
    assert server.run("hold", "confirm", "--data-dir", server.folder / "elsewhere").returncode == 1
    confirm(server)
    kube.until_allowed(leaver, "create", "deployments", namespace, group="apps")
    kube.until_refused(comer, "get", "pods", namespace)
    assert server.client(old_key).request("GET", "/bailiwick/v1/users").status == 403, "known again, as it says"
    assert server.run("hold", "confirm", *storage(server)).returncode == 1, "there is nothing to confirm"
    assert server.cli("hold", "show", *storage(server))["held"] is False
    events = server.client().all("/bailiwick/v1/audit-events?action=bailiwick:installation:confirm")
    assert len(events) == 1 and events[0]["source"] == "server operator"

    # And then it is a database like any other.
    server.stop()
    server.start()
    assert create(server, comer, cluster, [namespace])


def _with_plans(server):
    shown = server.cli("hold", "show", *storage(server))
    assert shown["held"] is True
    return shown if shown["plans"] else None


def test_on_another_machine_the_clusters_know_an_older_copy(installation, api_server, kube):
    server, data = installation
    cluster = server.add_cluster(api_server)
    namespace = kube.create_namespace(f"ns-{secrets.token_hex(4)}")
    user = server.add_user()
    key = server.add_key(user)
    grant = create(server, user, cluster, [namespace])
    server.until_state(grant, cluster, "effective")
    server.stop()
    yesterday = data.copy()
    server.start()
    server.client().call("DELETE", f"/bailiwick/v1/access-keys/{key[0]}", status=204)
    server.client().call("DELETE", f"/bailiwick/v1/grants/{grant}", status=204)
    server.until_state(grant, cluster, "revoked")
    server.stop()
    data.put_back(yesterday)
    shutil.rmtree(server.home / "config/bailiwick/seen")
    before = everything(kube)
    with BindingWatch(api_server) as watch:
        server.launch()
        server.base = server.process.wait_ready(server._announced, 30, "`listening on …`")
        # From the first instant on nobody is let in: neither before the cluster was asked nor after.
        until(
            lambda: server.client(key).request("GET", "/bailiwick/v1/users").status == 503
            and readiness(server)[1].get("status") == "held",
            20,
            "the cluster's stamp is noticed",
        )
        assert "listening" in server.process.output()
        until(lambda: _with_plans(server), 15, "the worker has planned")
        assert f"cluster {cluster} was written to" in server.cli("hold", "show", *storage(server))["reason"]
        assert everything(kube) == before
        assert not kube.allowed(user, "get", "pods", namespace)
        mark = f"mark-{secrets.token_hex(4)}"
        kube.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", cluster_role_binding(mark, "view", "x"))
        kube.create(
            f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
            {**cluster_role_binding(mark, "view", "x"), "kind": "RoleBinding"},
        )
        watch.wait_for(mark)
        seen = [description for description, _ in watch.states() if mark not in description]
        assert seen == ["before"], "something was written in the cluster"
    confirm(server)
    kube.until_allowed(user, "get", "pods", namespace)


def test_a_key_that_was_deleted_is_never_let_in_while_an_older_copy_asks_its_clusters(new_server, api_server, kube):
    server = new_server().start()
    cluster = server.add_cluster(api_server)
    user = server.add_user()
    key = server.add_key(user)
    grant = create(server, user, cluster, ["*"])
    server.until_state(grant, cluster, "effective")
    server.stop()
    data = Data(server, "sqlite", None)
    yesterday = data.copy()
    server.start()
    server.client().call("DELETE", f"/bailiwick/v1/access-keys/{key[0]}", status=204)
    server.client().call("DELETE", f"/bailiwick/v1/grants/{grant}", status=204)
    server.until_state(grant, cluster, "revoked")
    server.stop()
    data.put_back(yesterday)
    shutil.rmtree(server.home / "config/bailiwick/seen")
    server.launch()
    server.base = server.process.wait_ready(server._announced, 30, "`listening on …`")
    client, statuses = server.client(key), set()
    while readiness(server)[1].get("status") != "held":
        statuses.add(client.request("GET", "/bailiwick/v1/users").status)
    statuses.add(client.request("GET", "/bailiwick/v1/users").status)
    assert statuses == {503}


def test_a_restart_is_not_taken_for_an_older_copy_and_writes_nothing(installation, api_server, kube):
    server, _ = installation
    cluster = server.add_cluster(api_server)
    namespace = kube.create_namespace(f"ns-{secrets.token_hex(4)}")
    grant = create(server, server.add_user(), cluster, [namespace])
    server.until_state(grant, cluster, "effective")
    stamps = until(lambda: kube.bindings(f"bailiwick.dev/stamp-of={cluster}"), 5, "the cluster is stamped")
    assert len(stamps) == 1 and subjects(stamps[0]) == []
    before = everything(kube)
    for _ in range(2):
        server.stop()
        server.start()
        until(lambda: server.cluster(cluster)["state"] == "connected", 15, "connected")
        server.until_state(grant, cluster, "effective")
    assert everything(kube) == before
    # Where something else changed in the installation, the stamp alone is written.
    server.add_user()
    server.stop()
    server.start()
    until(lambda: everything(kube) != before, 15, "the stamp is renewed")
    assert {path for path, version in everything(kube).items() if before.get(path) != version} == {path_of(stamps[0])}
    server.do("cluster", "remove", cluster)
    until(lambda: not kube.bindings(f"bailiwick.dev/stamp-of={cluster}"), 15, "the stamp goes with the cluster")


def test_a_backup_is_made_while_people_work_and_restored_into_a_hold(new_server, api_server, kube):
    server = new_server().start()
    cluster = server.add_cluster(api_server)
    namespace = kube.create_namespace(f"ns-{secrets.token_hex(4)}")
    user = server.add_user()
    grant = create(server, user, cluster, [namespace])
    server.until_state(grant, cluster, "effective")
    failures = []

    def write():
        client = server.client()
        for number in range(100):
            answer = client.request("POST", "/bailiwick/v1/users", {"name": f"u-{secrets.token_hex(6)}"})
            if answer.status != 201:
                failures.append((number, answer))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    file = server.folder / "backup.db"
    made = server.cli("backup", *storage(server), file)
    for writer in writers:
        writer.join()
    assert not failures
    manifest = json.loads((server.folder / "backup.db.manifest.json").read_text(encoding="utf-8"))
    assert manifest["sha256"] == made["sha256"] and manifest["commits"] == made["commits"] > 0
    assert {(path.stat().st_mode & 0o777) for path in server.folder.glob("backup.db*")} == {0o600}
    refused = server.run("backup", *storage(server), file)
    assert refused.returncode == 1 and "exists" in refused.stderr
    kept = {one["id"] for one in _users(file)}
    assert user in kept and len(kept) <= 200 + 3

    server.client().call("DELETE", f"/bailiwick/v1/grants/{grant}", status=204)
    server.until_state(grant, cluster, "revoked")
    aside = server.folder / "aside.db"
    in_use = server.run("restore", *storage(server), "--move-old-to", aside, file)
    assert in_use.returncode == 1 and "stop the server" in in_use.stderr, in_use.stderr
    server.stop()
    in_place = server.run("restore", *storage(server), file)
    assert in_place.returncode == 1 and "--move-old-to" in in_place.stderr
    with open(file, "r+b") as spoilt:
        spoilt.seek(5000)
        was = spoilt.read(1)
        spoilt.seek(5000)
        spoilt.write(bytes([was[0] ^ 1]))
    changed = server.run("restore", *storage(server), "--move-old-to", aside, file)
    assert changed.returncode == 1 and "was changed" in changed.stderr
    with open(file, "r+b") as mended:
        mended.seek(5000)
        mended.write(was)
    key = server.home / "config/bailiwick/master.key"
    key.rename(key.with_suffix(".away"))
    without_key = server.run("restore", *storage(server), "--move-old-to", aside, file)
    assert without_key.returncode == 1 and manifest["masterKeyId"] in without_key.stderr
    key.with_suffix(".away").rename(key)
    assert not aside.exists()
    server.do("restore", *storage(server), "--move-old-to", aside, file)
    assert aside.exists() and (server.data / "bailiwick.db").stat().st_mode & 0o777 == 0o600

    before = everything(kube)
    start_held(server)
    assert "restored from the backup" in readiness(server)[1]["reason"]
    until(lambda: _with_plans(server), 15, "the worker has planned")
    assert everything(kube) == before and not kube.allowed(user, "get", "pods", namespace)
    confirm(server)
    kube.until_allowed(user, "get", "pods", namespace)
    assert {one["id"] for one in server.client().all("/bailiwick/v1/users")} == kept


def _users(file):
    with sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True) as database:
        rows = database.execute("SELECT id FROM principals WHERE kind = 'user'").fetchall()
    return [{"id": row[0]} for row in rows]


def test_a_folder_of_its_own_tells_an_older_copy_and_is_never_the_data_folder(new_server):
    """No cluster says how far the database had come: it is the folder alone."""
    server = new_server()
    seen = server.folder / "seen"
    server.arguments += ["--seen-dir", seen]
    server.start().add_user()
    server.stop()
    older = server.folder / "older.db"
    shutil.copy(server.data / "bailiwick.db", older)
    server.start().add_user()
    server.stop()
    shutil.copy(older, server.data / "bailiwick.db")
    start_held(server)
    server.stop()
    assert not (server.home / "config/bailiwick/seen").exists()

    server.arguments[-1] = server.data / "seen"
    assert "must not be in the data folder" in server.refuses_to_start()
    assert not (server.data / "seen").exists()
    server.arguments[-1] = server.folder / "file"
    (server.folder / "file").touch()
    assert "seen_dir" in server.refuses_to_start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_that_somebody_else_made_first_is_not_used(new_server):
    server = new_server()
    seen = server.folder / "seen"
    seen.mkdir()
    os.chown(seen, 12345, 12345)
    server.arguments += ["--seen-dir", seen]
    assert "belongs to somebody else" in server.refuses_to_start()


def test_on_postgres_a_backup_names_the_dump_that_belongs_to_it(new_server, database_url, postgres):
    server = new_server(database=database_url("postgres")).start()
    file = server.folder / "b.dump"
    made = server.cli("backup", *storage(server), file)
    command = made["command"]
    line = r"\(umask 077 && pg_dump --format=custom --file='\S+' --dbname='postgres://\S+'\)"
    assert re.fullmatch(line, command), command
    server.stop()
    subprocess.run(["sh", "-c", command], check=True)
    assert file.stat().st_mode & 0o777 == 0o600
    restored = postgres.create_database(f"restored_{secrets.token_hex(4)}")
    subprocess.run(["pg_restore", "--dbname", restored, file], check=True)
    server.database = restored
    server.do("restore", *storage(server), file)
    start_held(server)
    confirm(server)
    assert server.client().all("/bailiwick/v1/projects")


def test_an_empty_database_takes_nothing_away(new_server, api_server, kube):
    server = new_server().start()
    cluster = server.add_cluster(api_server)
    namespace = kube.create_namespace(f"ns-{secrets.token_hex(4)}")
    user = server.add_user()
    create(server, user, cluster, [namespace])
    kube.until_allowed(user, "get", "pods", namespace)
    until(lambda: kube.bindings(f"bailiwick.dev/stamp-of={cluster}"), 5, "the cluster is stamped")
    server.stop()
    shutil.move(server.data / "bailiwick.db", server.folder / "gone.db")
    server.start()
    before = everything(kube)
    again = server.add_cluster(api_server)
    other = create(server, server.add_user(), again, [namespace])
    server.until_state(other, again, "effective")
    after = everything(kube)
    assert {path: after.get(path) for path in before} == before
    assert kube.allowed(user, "get", "pods", namespace)


def test_removals_that_nobody_decided_wait_and_those_that_somebody_did_go_on(new_server, api_server, kube):
    server = new_server().start()
    cluster = server.add_cluster(api_server)
    spaces = [kube.create_namespace(f"ns-{secrets.token_hex(4)}") for _ in range(8)]
    user, leaver = server.add_user(), server.add_user()
    lost = create(server, user, cluster, spaces)
    ended = create(server, leaver, cluster, spaces, "developer")
    for grant in (lost, ended):
        server.until_state(grant, cluster, "effective")
    server.stop()
    with sqlite3.connect(server.data / "bailiwick.db") as database:
        for statement in (
            "DELETE FROM grant_principals WHERE grant_id = ?",
            "DELETE FROM grant_clusters WHERE grant_id = ?",
            "DELETE FROM grant_namespaces WHERE grant_id = ?",
            "DELETE FROM grant_states WHERE grant_id = ?",
            "DELETE FROM grants WHERE id = ?",
        ):
            database.execute(statement, (lost,))
    database.close()
    server.start()
    waiting = until(lambda: server.cli("cluster", "removals", cluster)["items"], 15, "the removals wait")
    assert sorted(one["namespace"] for one in waiting) == sorted(spaces)
    assert all(user in one["what"] for one in waiting)
    reason = until(lambda: server.cluster(cluster)["reason"], 10, "the cluster says so")
    assert f"bailiwick cluster confirm-removals {cluster}" in reason and reason.startswith("8 bindings")
    server.client().call("DELETE", f"/bailiwick/v1/grants/{ended}", status=204)
    kube.until_refused(leaver, "get", "pods", spaces[0])
    server.until_state(ended, cluster, "revoked")
    assert len(ours(kube, cluster)) == len(spaces) and kube.allowed(user, "get", "pods", spaces[3])

    assert server.cli("cluster", "confirm-removals", cluster)["confirmed"] == 8
    until(lambda: not ours(kube, cluster), 15, "they go")
    until(lambda: server.cluster(cluster)["reason"] == "", 15, "nothing waits any more")
    assert server.cli("cluster", "removals", cluster)["items"] == []


def test_many_removals_that_somebody_decided_do_not_wait(new_server, api_server, kube):
    server = new_server().start()
    cluster = server.add_cluster(api_server)
    spaces = [kube.create_namespace(f"ns-{secrets.token_hex(4)}") for _ in range(8)]
    user, other = server.add_user(), server.add_user()
    moved = create(server, user, cluster, spaces)
    server.until_state(moved, cluster, "effective")
    body = {
        "role": "viewer",
        "principals": {"type": "user", "ids": [user]},
        "clusters": [cluster],
        "namespaces": spaces[:1],
    }
    server.client().call("PUT", f"/bailiwick/v1/grants/{moved}", body)
    until(lambda: len(ours(kube, cluster)) == 1, 10, "an update takes away at once")
    create(server, other, cluster, spaces)
    until(lambda: len(ours(kube, cluster)) == 8, 10, "another grant")
    server.do("user", "delete", other)
    until(lambda: len(ours(kube, cluster)) == 1, 10, "so does the end of a user")
    history = server.cli("grant", "history", moved)["items"]
    assert [(one["generation"], len(one["namespaces"])) for one in history] == [(1, 8), (2, 1)]
    assert {one["actor"] for one in history} == {server.root}
    assert len(server.cli("grant", "restore", moved)["namespaces"]) == 8
    until(lambda: len(ours(kube, cluster)) == 8, 10, "what it said before holds again")
    assert server.cli("cluster", "removals", cluster)["items"] == []
