"""What was done and refused can be read and exported, and no secret stands in it."""

import json
import secrets

from harness.process import until


def exported(server, *arguments):
    done = server.run("audit", "export", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_was_done_and_refused_is_exported_and_no_secret_with_it(new_server):
    server = new_server().start()
    user = server.add_user()
    key = server.add_key(user)
    assert server.client(key).request("GET", "/bailiwick/v1/grants").status == 403
    wrong = (server.key_id, secrets.token_hex(20))
    assert server.client(wrong).request("GET", "/bailiwick/v1/grants").status == 401
    refused = until(
        lambda: [event for event in exported(server) if event["outcome"] == "refused"], 10, "the refusal is there"
    )
    assert [(event["actor"], event["action"], event["source"]) for event in refused] == [
        (user, "bailiwick:grant:list", "127.0.0.1")
    ]
    issued = exported(server, "--action", "bailiwick:accessKey:create")
    assert [event["resource"] for event in issued] == [f"access-key/{key[0]}"]
    listed = server.run("audit", "list", "--actor", user)
    assert "refused" in listed.stdout and listed.stdout.count("\n") == 2, listed.stdout
    server.stop()
    server.start()
    counted = exported(server, "--action", "bailiwick:authentication:fail")
    assert [(event["resource"], event["occurrences"]) for event in counted] == [("reason/wrong-signature", 1)]
    text = json.dumps(exported(server))
    for secret in (key[1], wrong[1], server.secret, server.password):
        assert secret not in text
