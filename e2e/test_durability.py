"""What was acknowledged is there after the program was killed."""

import concurrent.futures
import http.client
import threading

import pytest

from harness.process import until

PATH = "/api/v3/access-policies"
WRITERS = 16


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_killed_server_loses_nothing_that_it_acknowledged(new_server, database_url, kind):
    server = new_server(database=database_url(kind)).start()
    user, acknowledged, dead = server.add_user(), [], threading.Event()

    def write(number):
        client, count = server.client(), 0
        while not dead.is_set():
            body = {
                "name": f"w{number}-{count}",
                "clusters": ["*"],
                "accessScope": {"namespaces": ["a", "b"]},
                "policyType": "CCEViewPolicy",
                "principal": {"type": "user", "ids": [user]},
            }
            try:
                acknowledged.append((client.call("POST", PATH, body, status=201)["policyId"], body["name"]))
            except (OSError, http.client.HTTPException):
                return
            count += 1

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, number) for number in range(WRITERS)]
        try:
            until(lambda: len(acknowledged) > 200, 60, "writes are under way")
        finally:
            server.process.popen.kill()
            server.process.popen.wait()
            dead.set()
    for writer in writers:
        writer.result()
    server.start()
    listed = server.client().call("GET", PATH)["accessPolicyList"]
    found = {policy["policyId"]: policy for policy in listed}
    assert [name for policy, name in acknowledged if policy not in found] == []
    assert all(policy["accessScope"]["namespaces"] == ["a", "b"] for policy in listed), "none is there in part"
    # One write of each writer may have been done without having been acknowledged.
    assert len(found) - len(acknowledged) <= WRITERS
