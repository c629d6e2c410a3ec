"""What `check-config` says about a database that a server made."""

import re

import pytest

from harness.process import until


def check(server, *arguments, env=None):
    arguments = ["check-config", "--data-dir", server.data, *arguments]
    if server.database:
        arguments += ["--database", server.database]
    done = server.run(*arguments, env=env)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_database_and_its_key_are_looked_at_while_the_server_runs_and_after(new_server, database_url, kind):
    server = new_server(database=database_url(kind))
    code, said = check(server)
    assert code == 0 and ("makes the database" in said or "is empty" in said), said
    server.start()
    for _ in ("running", "stopped"):
        code, said = check(server)
        assert code == 0, said
        assert "its schema is this program's" in said
        assert re.search(r"the database needs master key [0-9a-f]{16}, and it is given", said)
        assert "bootstrap.env holds the first credentials" in said
        server.stop()
    code, said = check(server, env={"BAILIWICK_MASTER_KEY": "ab" * 32})
    assert code == 1 and re.search(r"problem +the database needs master key [0-9a-f]{16}; given is", said), said
    (server.home / "config/bailiwick/master.key").unlink()
    code, said = check(server)
    assert code == 1 and "bring it back" in said
    assert not (server.home / "config/bailiwick/master.key").exists()


def test_a_demos_folder_is_said_to_be_one(new_server):
    server = new_server(arguments=["--listen", "127.0.0.1:0", "--demo"]).start()
    until(lambda: server.data.exists(), 5, "the demo's folder")
    server.stop()
    code, said = check(server)
    assert code == 1 and "demo" in said
