"""Guessing, repeating and flooding, by hand-made requests and by the official SDK."""

import concurrent.futures
import json
import socket

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness.wire import read_answer, request_bytes, send_raw

PATH = "/api/v3/access-policies"
CLUSTERS = "/bailiwick/v1/clusters"
LOCKED = "Incorrect IAM authentication information: AK access failed to reach the limit,forbidden."


@pytest.fixture(scope="module")
def client(bailiwick):
    return bailiwick.client()


def recorded(client, method, target, body=b""):
    """The bytes of a signed request, as somebody on the way would keep them."""
    return request_bytes(method, target, client.headers(method, target, body), body)


def policy(user, **more):
    fields = {"name": "abuse", "clusters": ["*"], "accessScope": {"namespaces": ["abuse"]}}
    fields |= {"policyType": "CCEViewPolicy", "principal": {"type": "user", "ids": [user]}}
    return json.dumps(fields | more).encode()


def ids(client):
    return {found["policyId"] for found in client.call("GET", PATH)["accessPolicyList"]}


def test_a_recorded_create_does_not_revive_what_was_deleted(bailiwick, client):
    create = recorded(client, "POST", PATH, policy(bailiwick.add_user()))
    first, again = (send_raw(bailiwick.base, create, "POST") for _ in range(2))
    assert (first.status, again.status) == (201, 201), (first, again)
    assert first.body == again.body
    made = first.json()["policyId"]
    delete = recorded(client, "DELETE", f"{PATH}/{made}")
    assert send_raw(bailiwick.base, delete, "DELETE").status == 204
    before = ids(client)
    assert made not in before
    for _ in range(3):
        answer = send_raw(bailiwick.base, create, "POST")
        assert answer.status == 409, answer
        assert answer.json()["error_code"] == "CCE.01409001"
        assert "sign again" in answer.json()["error_msg"]
    assert send_raw(bailiwick.base, delete, "DELETE").status == 204, "it is deleted, as that request left it"
    assert ids(client) == before


def test_a_recorded_update_does_not_undo_a_later_one(bailiwick, client):
    user = bailiwick.add_user()
    made = client.call("POST", PATH, policy(user))["policyId"]
    target = f"{PATH}/{made}"
    widen = recorded(client, "PUT", target, policy(user, policyType="CCEClusterAdminPolicy"))
    first, again = (send_raw(bailiwick.base, widen, "PUT") for _ in range(2))
    assert first.status == 200 and first.body == again.body, (first, again)
    client.call("PUT", target, policy(user))
    assert send_raw(bailiwick.base, widen, "PUT").status == 409
    assert client.call("GET", target)["policyType"] == "CCEViewPolicy"
    client.call("DELETE", target)


def test_a_recorded_creation_of_a_key_shows_no_secret_again(bailiwick, client):
    user = bailiwick.add_user()
    create = recorded(client, "POST", "/bailiwick/v1/access-keys", json.dumps({"user": user}).encode())
    first, again = (send_raw(bailiwick.base, create, "POST") for _ in range(2))
    assert (first.status, again.status) == (201, 409), (first, again)
    assert first.json()["secretAccessKey"] not in again.body.decode()


def test_forty_copies_at_once_make_one_policy(bailiwick, client):
    create = recorded(client, "POST", PATH, policy(bailiwick.add_user()))
    before = ids(client)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: send_raw(bailiwick.base, create, "POST"), range(40)))
    assert {answer.status for answer in answers} == {201}, answers
    (made,) = ids(client) - before
    assert {answer.json()["policyId"] for answer in answers} == {made}
    client.call("DELETE", f"{PATH}/{made}")


def test_the_sdk_sees_a_locked_key_and_other_keys_and_addresses_are_not_locked(bailiwick, client):
    key = bailiwick.add_key(bailiwick.root)
    guesser = bailiwick.policies((key[0], "wrong"))
    said = []
    for _ in range(7):
        with pytest.raises(ClientRequestException) as caught:
            guesser.list()
        said.append((caught.value.status_code, caught.value.error_code, caught.value.error_msg))
    assert len(set(said[:6])) == 1 and said[6] == (401, "APIGW.0301", LOCKED), said
    with pytest.raises(ClientRequestException) as caught:
        bailiwick.policies(key).list()
    assert caught.value.error_msg == LOCKED, "the right secret from there is not looked at"
    assert client.call("GET", PATH) is not None, "another key from there is"
    headers = bailiwick.client(key).headers("GET", PATH)
    answer = send_from("127.0.0.2", bailiwick, request_bytes("GET", PATH, headers))
    assert answer.status == 200, answer


def send_from(address, bailiwick, data):
    """Sends from another address of this machine."""
    host, port = bailiwick.base.split("://")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=15, source_address=(address, 0)) as sock:
        sock.sendall(data)
        return read_answer(sock)


def test_sixteen_sdk_clients_in_a_loop_are_not_held_back(bailiwick):
    def loop(_):
        policies = bailiwick.policies()
        return [policies.list().status_code for _ in range(25)]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        codes = {code for codes in pool.map(loop, range(16)) for code in codes}
    assert codes == {200}


@pytest.mark.parametrize("length", [32_768, 32_769, 60_000])
def test_a_token_of_any_length_is_answered_in_words(bailiwick, length):
    headers = [("Host", "localhost"), ("X-Auth-Token", "x" * length)]
    answer = send_raw(bailiwick.base, request_bytes("GET", PATH, headers))
    assert answer.status == 401, answer
    assert answer.json()["error_code"] == "APIGW.0301"
    headers = [("Host", "localhost"), ("Authorization", "Bearer " + "x" * length)]
    native = send_raw(bailiwick.base, request_bytes("GET", CLUSTERS, headers))
    assert (native.status, native.json()["error"]["code"]) == (401, "unauthenticated")
