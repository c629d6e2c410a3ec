"""Requests that the second vendor's clients sent long ago, byte for byte, to a program that is told that time: each is
authenticated by its signature and answered. They are the recordings by which the signatures are tested."""

import contextlib
import datetime

import pytest

from harness import wire
from harness.server import REPOSITORY, Server, program_with_test_clock

RECORDED = REPOSITORY / "crates/api/tests/recorded/alibaba"

THEN = datetime.datetime(2026, 11, 21, 19, 11, tzinfo=datetime.UTC)
"""Less than a quarter of an hour from each of them."""

KEY = ("LTAI5tTestAccessKey00001", "TestAccessKeySecret0000000001")

USER = "217500000000000001"

CLUSTERS = ("c1", "c2", "c1b542", "c1b542aaaaaaaaaaaaaaaaaaaaaaaaaaaa")

DONE = (200, None)
NO_SUCH_KEY = (404, "InvalidAccessKeyId.NotFound")
NO_SUCH_OPERATION = (404, "InvalidAction.NotFound")
OTHER_SCHEME = (400, "InvalidSignatureMethod")
INVALID = (400, "InvalidParameter")
ACTIVE = (409, "Conflict")
NO_SUCH_CLUSTER = (404, "ErrorClusterNotFound")
UNPROTECTED = (400, "UnprotectedBody")
NOT_ISSUED = (409, "Conflict")
# What it left was changed by later ones.
ALREADY_SENT = (409, "Conflict")

ONE_CHANGE = ["python-acs3-grant_permissions_empty_list"]

EXPECTED = {
    "clean_cluster_user_permissions": DONE,
    "clean_user_permissions": DONE,
    "describe_cluster_detail": DONE,
    # The cluster is detached: nobody can ask it for a certificate.
    "describe_cluster_user_kubeconfig": NOT_ISSUED,
    "describe_subaccount_kubeconfig": NOT_ISSUED,
    "describe_clusters_v1": DONE,
    "describe_clusters_weird_query": DONE,
    "describe_user_permission": DONE,
    # An encoded slash: the path could be read in two ways.
    "describe_user_permission_weird_uid": INVALID,
    # Its namespace has a name that Kubernetes does not take.
    "grant_permissions": INVALID,
    "grant_permissions_empty_list": DONE,
    "list_cluster_kubeconfig_states": DONE,
    "list_user_kubeconfig_states": DONE,
    "revoke_kubeconfig": DONE,
    "update_user_config_expire": DONE,
    "update_user_permissions_nomode": DONE,
    "update_user_permissions_patch": DONE,
}
"""By what is behind the client's name and its scheme."""

BY_NAME = {
    # Nobody knows whether they were at work where they have a right, and nobody said that it does not matter.
    "node-acs3-clean_user_permissions_noopts": ACTIVE,
    # Later they have no right any more.
    "python-acs3-clean_user_permissions_force_false": DONE,
    "python-acs3-clean_user_permissions_noopts": DONE,
    # The one sends no body, and the other a list without entries.
    "node-acs3-grant_permissions_body_unset": INVALID,
    "python-acs3-grant_permissions_body_unset": DONE,
    # One of the clusters has a blank in its name, which no cluster here can have.
    "node-roa1-clean": NO_SUCH_CLUSTER,
    "oldpy-roa1-clean": NO_SUCH_CLUSTER,
    "python-roa1-clean": NO_SUCH_CLUSTER,
    "python-async-roa1-clean_CT_MISMATCH": NO_SUCH_CLUSTER,
    "python-async-acs3-clean": DONE,
    "python-async-acs3-describe": DONE,
    "python-async-roa1-describe_CT_MISMATCH": DONE,
    "node-roa1-describe": DONE,
    "oldpy-roa1-describe": DONE,
    "python-roa1-describe": DONE,
    # The older client sends a hash of its body, the present ones do not by that scheme.
    "oldpy-roa1-grant": DONE,
    "oldpy-roa1-update": DONE,
    "node-roa1-update": UNPROTECTED,
    "python-roa1-update": UNPROTECTED,
    "python-acs3rsa-describe": OTHER_SCHEME,
    "python-acs3sm3-describe": OTHER_SCHEME,
    "python-bearer-describe": OTHER_SCHEME,
    "node-cred-sts-AssumeRole": NO_SUCH_OPERATION,
    "node-cred-sts-AssumeRoleWithOIDC": NO_SUCH_OPERATION,
    "python-cred-sts-AssumeRole-policy_with_space": NO_SUCH_OPERATION,
    "python-cred-sts-AssumeRoleWithOIDC": NO_SUCH_OPERATION,
    "python-stssdk-acs3-AssumeRole": NO_SUCH_OPERATION,
    "python-stssdk-anon-AssumeRoleWithOIDC": NO_SUCH_OPERATION,
    "python-stssdk-acs3-GetCallerIdentity": DONE,
    "python-stssdk-rpc1-GetCallerIdentity": DONE,
}


def expected(name):
    if name in BY_NAME:
        return BY_NAME[name]
    client, scheme, what = name.split("-", 2)
    assert client in ("node", "oldpy", "python"), name
    # Sessions that were made for the recording were never made here.
    return NO_SUCH_KEY if scheme.endswith("sts") else EXPECTED[what]


@pytest.fixture(scope="module")
def installation():
    """The account, the user and the clusters that were recorded, set up by today's clock."""
    server = Server()
    server.environment["BAILIWICK_BOOTSTRAP_ACCESS_KEY_ID"], server.environment[
        "BAILIWICK_BOOTSTRAP_SECRET_ACCESS_KEY"
    ] = KEY
    server.key_id, server.secret = KEY
    try:
        server.start()
        server.add_user(user_id=USER)
        for cluster in CLUSTERS:
            server.do("cluster", "add", f"name-{cluster}", "--id", cluster)
        place = ("--cluster", CLUSTERS[-1], "--all-namespaces")
        server.do("user", "add-permission", USER, "--role", "viewer", *place)
        server.stop()
        server.binary = program_with_test_clock()
        assert server.binary.exists(), f"{server.binary} does not exist; `make e2e` and `scripts/test-clock` build it"
        yield server
    finally:
        server.remove()


def replayed(server, names):
    """What each of the recordings is answered."""
    found = {}
    for name in names:
        data = (RECORDED / f"{name}.http").read_bytes()
        answer = wire.send_raw(server.base, data, data.split(b" ", 1)[0].decode())
        told = answer.json() if answer.status != 200 else {"Code": None, "Message": "done"}
        assert told["Message"], name
        found[name] = (answer.status, told["Code"])
    return found


ALL = sorted(file.stem for file in RECORDED.glob("*.http"))


OF_A_SESSION = [name for name in ALL if expected(name) == NO_SUCH_KEY]


@contextlib.contextmanager
def told(server, time, **environment):
    """The server while it believes that it is `time`."""
    try:
        yield server.start(BAILIWICK_TEST_NOW=time.isoformat(), **environment)
    finally:
        server.stop()


def test_every_recorded_request_is_authenticated_and_answered(installation):
    # Who shows the same unknown key again and again is not answered any more: they are sent to two servers.
    half = OF_A_SESSION[: len(OF_A_SESSION) // 2]
    names = [name for name in ALL if name not in half]
    with told(installation, THEN):
        assert replayed(installation, names) == {name: expected(name) for name in names}
        assert replayed(installation, ONE_CHANGE) == dict.fromkeys(ONE_CHANGE, ALREADY_SENT)
    with told(installation, THEN):
        assert replayed(installation, half) == {name: expected(name) for name in half}
        assert replayed(installation, ONE_CHANGE) == dict.fromkeys(ONE_CHANGE, ALREADY_SENT)


def test_a_recorded_request_is_too_late_a_quarter_of_an_hour_later(installation):
    names = ["node-acs3-describe_clusters_v1", "oldpy-roa1-describe", "python-stssdk-rpc1-GetCallerIdentity"]
    with told(installation, THEN + datetime.timedelta(minutes=21)):
        assert replayed(installation, names) == dict.fromkeys(names, (400, "InvalidTimeStamp.Expired"))


def test_bodies_that_no_signature_covers_pass_where_that_is_allowed(installation):
    names = [name for name in ALL if expected(name) == UNPROTECTED]
    assert names
    with told(installation, THEN, BAILIWICK_ALIBABA_ALLOW_UNPROTECTED_BODY="true"):
        assert replayed(installation, names) == dict.fromkeys(names, DONE)
