"""A new master key in the place of the old one, while servers go on and whatever is killed."""

import json
import re
import secrets
import shutil
import subprocess
import threading

import pytest

from harness import figures
from harness.process import until
from harness.server import program

PATH = "/api/v3/access-policies"


def key_file(server):
    return server.home / "config/bailiwick/master.key"


def storage(server):
    return ["--data-dir", server.data, *(["--database", server.database] if server.database else [])]


def rotate(server, *arguments, **options):
    return server.run("master-key", "rotate", *storage(server), *arguments, "-o", "json", **options)


def keys(server):
    """What `master-key list` says, by id."""
    return {row["id"]: row for row in server.cli("master-key", "list", *storage(server))["items"]}


class Caller(threading.Thread):
    """Signs requests, one after the other, and remembers every answer that is not 200."""

    def __init__(self, server, key=None):
        super().__init__(daemon=True)
        self.server, self.key = server, key
        self.good, self.bad, self.ended = 0, [], threading.Event()

    def run(self):
        client = self.server.client(self.key)
        # Not as fast as it goes: a source that asks some thousand times a second is held back.
        while not self.ended.wait(0.001):
            answer = client.request("GET", PATH)
            if answer.status == 200:
                self.good += 1
            else:
                self.bad.append((answer.status, answer.body))

    def finish(self):
        self.ended.set()
        self.join(10)
        assert not self.bad, self.bad[:3]
        assert self.good > 10
        return self.good


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_master_key_changes_while_requests_and_workers_go_on(new_server, database_url, api_server, kind):
    server = new_server(database=database_url(kind)).start()
    user, cluster = server.add_user(), server.add_cluster(api_server)
    made = [server.add_key(user) for _ in range(30)]
    former = server.folder / "former.key"
    shutil.copy(key_file(server), former)
    callers = [Caller(server), Caller(server)]
    for caller in callers:
        caller.start()
    done = rotate(server)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["resealed"], said["servers"]) == (33, 1)
    assert "backups" in done.stderr and said["retired"][0] in done.stderr
    until(lambda: f"holding master keys {said['id']} keys" in server.process.output(), 10, "the old key is let go")
    made.append(server.add_key(user))
    policy = server.policies().create(ids=[user], clusters=[cluster]).policy_id
    server.until_state(policy, cluster, "effective")
    good = sum(one.finish() for one in callers)
    figures.note(f"requests during a change of the master key ({kind}): {good}, all 200")
    listed = keys(server)
    assert list(listed) == [said["id"]]
    assert (listed[said["id"]]["use"], listed[said["id"]]["sealed"]) == ("seals", 34)
    held = key_file(server).read_text(encoding="utf-8").split()
    assert len(held) == 1 and held[0] not in former.read_text(encoding="utf-8")
    for file in (key_file(server), key_file(server).parent / f"master.key.retired-{said['former']}"):
        assert file.stat().st_mode & 0o777 == 0o600
    server.stop()
    assert said["id"] in server.refuses_to_start(BAILIWICK_MASTER_KEY_FILE=former), "it says which key it needs"
    server.start()
    for key in made[-3:]:  # no rights, but known
        assert server.client(key).raw("GET", PATH).status == 403
    assert server.cluster(cluster)["state"] == "connected"
    event = next(row for row in server.cli("audit", "list")["items"] if row["action"] == "bailiwick:masterKey:rotate")
    assert said["id"] in event["resource"]


def test_a_change_of_the_master_key_that_is_killed_goes_on_where_it_stopped(new_server, postgres):
    server = new_server(database=postgres.create_database(f"rotate_{secrets.token_hex(4)}")).start()
    users = [server.add_user() for _ in range(12)]
    made = [server.add_key(user) for user in users for _ in range(40)]
    caller = Caller(server)
    caller.start()
    killed = 0
    command = [program(), "master-key", "rotate", *storage(server)]
    for moment in (0.0, 0.1, 0.3, 1.0, 3.9, 4.05, 4.1, 4.15, 4.2, 4.25, 4.3, 4.4, 4.6):
        environment = server._environment()
        with subprocess.Popen(command, env=environment, cwd=server.folder, stderr=subprocess.DEVNULL) as child:
            try:
                child.wait(moment)
            except subprocess.TimeoutExpired:
                child.kill()
                killed += 1
        assert server.client(server.add_key(users[0])).raw("GET", PATH).status == 403, f"killed after {moment} s"
    done = rotate(server)
    assert done.returncode == 0, done.stderr
    good = caller.finish()
    figures.note(f"changes of the master key that were killed: {killed}; requests meanwhile: {good}, all 200")
    listed = keys(server)
    assert [row["use"] for row in listed.values()] == ["seals"], listed
    server.stop()
    server.start()
    for key in made[::20]:
        assert server.client(key).raw("GET", PATH).status == 403


def test_a_server_that_lacks_the_new_key_stops_the_change_and_goes_on_with_the_old_one(new_server, postgres):
    database = postgres.create_database(f"rotate_{secrets.token_hex(4)}")
    here = new_server(database=database).start()
    there = new_server(database=database)
    copy = there.folder / "copy.key"
    shutil.copy(key_file(here), copy)
    there.key_id, there.secret, there.project = here.key_id, here.secret, here.project
    there.start(BAILIWICK_MASTER_KEY_FILE=copy)
    done = rotate(here)
    assert done.returncode == 1
    assert "not with every server yet" in done.stderr and f"process {there.process.pid}" in done.stderr
    assert f"process {here.process.pid}" not in done.stderr
    states = {row["use"]: key for key, row in keys(here).items()}
    assert set(states) == {"seals", "is to seal"}
    for one in (here, there):
        assert one.client(one.add_key(here.root)).raw("GET", PATH).status == 200
    shutil.copy(key_file(here), copy)
    done = rotate(here)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["id"], said["former"], said["servers"]) == (states["is to seal"], states["seals"], 2)
    for one in (here, there):
        assert one.client(one.add_key(here.root)).raw("GET", PATH).status == 200


def test_a_key_from_the_environment_changes_to_one_that_was_given_beside_it(new_server):
    first, second = secrets.token_hex(32), secrets.token_hex(32)
    server = new_server(environment={"BAILIWICK_MASTER_KEY": first}).start()
    env = {"BAILIWICK_MASTER_KEY": first}
    refused = rotate(server, env=env)
    assert refused.returncode == 1 and "--to" in refused.stderr and first not in refused.stderr
    server.stop()
    both = {"BAILIWICK_MASTER_KEY": f"{first}\n{second}"}
    server.environment.update(both)
    server.start()
    listed = server.cli("master-key", "list", *storage(server), env=both)["items"]
    (new,) = [row["id"] for row in listed if row["use"] == "none"]
    done = rotate(server, "--to", new, env=both)
    assert done.returncode == 0, done.stderr
    assert "take the old key away yourself" in done.stderr
    assert server.client(server.add_key(server.root)).raw("GET", PATH).status == 200
    server.stop()
    server.environment["BAILIWICK_MASTER_KEY"] = second
    server.start()
    assert server.policies().list().status_code == 200
    server.stop()
    assert re.search(rf"needs master key {new}", server.refuses_to_start(BAILIWICK_MASTER_KEY=first))
