"""Kubeconfigs by the second vendor's four official clients: each works with kubectl until it is revoked or over, and tells
how it stands."""

import base64
import datetime
import json
import secrets
import subprocess

import pytest
import yaml

from harness.ack import Refused, SyncClient, granted
from harness.process import clean_environment, until
from harness.server import REPOSITORY

BOTH = pytest.mark.parametrize("bailiwick", ["sqlite", "postgres"], indirect=True, scope="module")

ONE = pytest.mark.parametrize("bailiwick", ["sqlite"], indirect=True, scope="module")
"""Where the database makes no difference: each kubeconfig takes its time."""

MANIFEST = REPOSITORY / "deploy/connector/certificates.yaml"

A_DAY_AND_A_HALF = 1.5
"""The cluster signs no certificate that outlives its own, which is good for two days; nobody asks for fewer than three years
otherwise."""

ALL_OF_CS = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "cs:*", "Resource": "*"}]}


def kubectl(kubeconfig, *arguments):
    """Whether it succeeded."""
    environment = clean_environment(HOME=str(kubeconfig.parent))
    command = ["kubectl", "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, timeout=30, env=environment, check=False).returncode == 0


@pytest.fixture(scope="module")
def operator(api_server, tmp_path_factory):
    file = tmp_path_factory.mktemp("operator") / "kubeconfig"
    file.write_text(api_server.kubeconfig, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def cluster(bailiwick, api_server, operator):
    """The shared cluster, with a connector that may have certificates signed."""
    made = bailiwick.add_cluster(api_server)
    assert kubectl(operator, "apply", "-f", str(MANIFEST))
    yield made
    assert kubectl(operator, "delete", "-f", str(MANIFEST))


@pytest.fixture(scope="module")
def place(cluster, kube):
    return cluster, kube.create_namespace(f"ns-{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def root(bailiwick):
    return SyncClient(bailiwick.base, (bailiwick.key_id, bailiwick.secret))


@pytest.fixture(scope="module")
def allowed(bailiwick):
    name = f"cs-{secrets.token_hex(4)}"
    bailiwick.do("policy", "create", name, "--document", "-", text=json.dumps(ALL_OF_CS))
    return name


@pytest.fixture
def person(bailiwick, root, allowed, place):
    """A user with a key, all rights of identity policies, and one right in the cluster: (id, key)."""
    user = bailiwick.add_user()
    bailiwick.do("policy", "attach", allowed, "--user", user)
    root.grant_permissions(user, [granted(place, "restricted")])
    return user, bailiwick.add_key(user)


@pytest.fixture
def written(tmp_path):
    """Writes what a client was answered to a file for kubectl."""

    def write(answer):
        file = tmp_path / f"{secrets.token_hex(4)}.kubeconfig"
        file.write_text(answer.body["config"], encoding="utf-8")
        return file

    return write


def may(kubeconfig, place):
    return kubectl(kubeconfig, "auth", "can-i", "get", "pods", "-n", place[1])


def moment(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)


def days_until(text):
    return (moment(text) - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1)


def state_in(client, uid, cluster):
    """How a user's kubeconfig of a cluster stands."""
    states = client.list_user_kube_config_states(uid).body["states"]
    return next(state for state in states if state["cluster_id"] == cluster)


@BOTH
def test_a_kubeconfig_works_until_its_owner_revokes_it_and_the_next_one_goes_on(
    ack_client, bailiwick, person, place, written
):
    cluster, (user, key) = place[0], person
    mine = ack_client(key)
    assert state_in(mine, user, cluster)["cert_state"] == "Unissued"
    answer = mine.describe_cluster_user_kubeconfig(cluster)
    assert answer.status == 200
    assert days_until(answer.body["expiration"]) > A_DAY_AND_A_HALF
    parsed = yaml.safe_load(answer.body["config"])
    assert parsed["clusters"][0]["cluster"]["server"].startswith("https://127.0.0.1:")
    assert base64.b64decode(parsed["clusters"][0]["cluster"]["certificate-authority-data"]).startswith(b"-----BEGIN")
    assert set(parsed["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    first = written(answer)
    until(lambda: may(first, place), 5, "kubectl works")
    assert not may(first, (cluster, "default"))
    assert state_in(mine, user, cluster)["cert_state"] == "Unexpired"

    revoked = mine.revoke_k8s_cluster_kube_config(cluster)
    assert (revoked.status, revoked.body) == (200, {})
    until(lambda: not may(first, place), 2, "it ends within 2 seconds of its revoke")
    assert state_in(mine, user, cluster)["cert_state"] == "Removed"
    second = written(mine.describe_cluster_user_kubeconfig(cluster, private=True))
    until(lambda: may(second, place), 5, "the next one works")
    assert not may(first, place)


@BOTH
def test_a_kubeconfig_of_the_same_user_that_is_not_revoked_goes_on(bailiwick, person, place, written):
    user, key = person
    mine = SyncClient(bailiwick.base, key)
    first, second = (written(mine.describe_cluster_user_kubeconfig(place[0])) for _ in range(2))
    for file in (first, second):
        until(lambda file=file: may(file, place), 5, "both work")
    serials = [item["id"] for item in bailiwick.cli("kubeconfig", "list", "--user", user)["items"]]
    subject = yaml.safe_load(first.read_text(encoding="utf-8"))["users"][0]["user"]["client-certificate-data"]
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-subject"], input=base64.b64decode(subject), capture_output=True, check=True
    ).stdout.decode()
    [own] = [serial for serial in serials if serial in shown]
    bailiwick.do("kubeconfig", "revoke", own)
    until(lambda: not may(first, place), 2, "the one ends")
    assert may(second, place)


@ONE
def test_the_older_operation_answers_the_kubeconfig_alone(ack_client, person, place, written):
    answer = ack_client(person[1]).describe_cluster_v2_user_kubeconfig(place[0])
    assert set(answer.body) == {"config"}
    file = written(answer)
    until(lambda: may(file, place), 5, "kubectl works")


@ONE
def test_a_temporary_one_says_when_it_ends(ack_client, person, place):
    mine = ack_client(person[1])
    answer = mine.describe_cluster_user_kubeconfig(place[0], private=False, minutes=60)
    assert 58 < days_until(answer.body["expiration"]) * 24 * 60 < 61
    for minutes in (14, 4321, 0):
        with pytest.raises(Refused) as refused:
            mine.describe_cluster_user_kubeconfig(place[0], minutes=minutes)
        assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")
        assert "TemporaryDurationMinutes" in refused.value.message


@BOTH
def test_the_root_user_alone_gets_somebody_elses_and_says_how_long_they_last(
    ack_client, bailiwick, person, place, written
):
    cluster, (user, key) = place[0], person
    mine, roots = ack_client(key), ack_client()
    administrators = bailiwick.add_user()
    bailiwick.do("group", "add-member", "administrators", administrators)
    for client in (mine, ack_client(bailiwick.add_key(administrators))):
        for call in (
            lambda client=client: client.describe_subaccount_k8s_cluster_user_config(cluster, user),
            lambda client=client: client.update_k8s_cluster_user_config_expire(cluster, user, 24),
        ):
            with pytest.raises(Refused) as refused:
                call()
            assert (refused.value.status, refused.value.code) == (403, "StatusForbidden")
    file = written(roots.describe_subaccount_k8s_cluster_user_config(cluster, user))
    until(lambda: may(file, place), 5, "kubectl works with what root had issued")
    assert not may(file, (cluster, "default"))

    assert roots.update_k8s_cluster_user_config_expire(cluster, user, 24).status == 200
    assert 0.9 < days_until(mine.describe_cluster_user_kubeconfig(cluster).body["expiration"]) < 1.1
    for hours in (0, 876_001):
        with pytest.raises(Refused) as refused:
            roots.update_k8s_cluster_user_config_expire(cluster, user, hours)
        assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")
        assert "expire_hour" in refused.value.message
    # A revoke ends what was chosen, too.
    mine.revoke_k8s_cluster_kube_config(cluster)
    until(lambda: not may(file, place), 2, "and all that the user had there")
    assert days_until(mine.describe_cluster_user_kubeconfig(cluster).body["expiration"]) > A_DAY_AND_A_HALF


@BOTH
def test_states_are_listed_by_user_and_by_cluster_page_by_page(ack_client, bailiwick, person, place):
    cluster, (user, key) = place[0], person
    mine, roots = ack_client(key), ack_client()
    mine.describe_cluster_user_kubeconfig(cluster)
    by_user = roots.list_user_kube_config_states(user, number=1, size=100).body
    assert by_user["page"] == {"page_number": 1, "page_size": 100, "total_count": len(by_user["states"])}
    own = next(state for state in by_user["states"] if state["cluster_id"] == cluster)
    assert (own["cert_state"], own["cluster_state"]) == ("Unexpired", "running")
    assert days_until(own["cert_expire_time"]) > A_DAY_AND_A_HALF
    assert roots.list_user_kube_config_states(user, number=2, size=100).body["states"] == []

    seen, number = [], 1
    while True:
        page = roots.list_cluster_kubeconfig_states(cluster, number=number, size=2, of_services=False).body
        assert (page["page"]["page_number"], page["page"]["page_size"]) == (number, 2)
        if not page["states"]:
            break
        seen += page["states"]
        number += 1
    assert len(seen) == page["page"]["total_count"]
    state = next(state for state in seen if state["account_id"] == user)
    assert (state["account_type"], state["account_state"], state["cert_state"]) == ("RamUser", "Active", "Unexpired")
    assert state["revokable"] is True
    assert roots.list_cluster_kubeconfig_states(cluster, of_services=True).body["states"] == []
    with pytest.raises(Refused) as refused:
        roots.list_cluster_kubeconfig_states(cluster, size=51)
    assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")


@ONE
def test_a_cluster_that_is_not_there_or_not_connected_gives_none(ack_client, bailiwick, person):
    mine = ack_client(person[1])
    unknown = "c" + "0" * 32
    for call in (
        mine.describe_cluster_user_kubeconfig,
        mine.describe_cluster_v2_user_kubeconfig,
        mine.revoke_k8s_cluster_kube_config,
        mine.list_cluster_kubeconfig_states,
    ):
        with pytest.raises(Refused) as refused:
            call(unknown)
        assert (refused.value.status, refused.value.code) == (404, "ErrorClusterNotFound")
    detached = bailiwick.add_cluster()
    with pytest.raises(Refused) as refused:
        mine.describe_cluster_user_kubeconfig(detached)
    assert (refused.value.status, refused.value.code) == (409, "Conflict")
    assert refused.value.message


@ONE
def test_without_the_right_there_is_no_kubeconfig(ack_client, bailiwick, place):
    mine = ack_client(bailiwick.add_key(bailiwick.add_user()))
    for call, action in (
        (mine.describe_cluster_user_kubeconfig, "cs:DescribeClusterUserKubeconfig"),
        (mine.describe_cluster_v2_user_kubeconfig, "cs:DescribeClusterV2UserKubeconfig"),
        (mine.revoke_k8s_cluster_kube_config, "cs:RevokeK8sClusterKubeConfig"),
        (mine.list_cluster_kubeconfig_states, "cs:ListClusterKubeconfigStates"),
    ):
        with pytest.raises(Refused) as refused:
            call(place[0])
        assert (refused.value.status, refused.value.code) == (403, "StatusForbidden")
        assert f"RAM policy Forbidden for action {action}" in refused.value.message


@ONE
def test_whoever_is_cleaned_has_no_kubeconfig_left(ack_client, bailiwick, root, person, place, written):
    user, key = person
    file = written(ack_client(key).describe_cluster_user_kubeconfig(place[0]))
    until(lambda: may(file, place), 5, "kubectl works")
    ack_client().clean_user_permissions(user, force=True)
    until(lambda: not may(file, place), 2, "and does not after cleaning")
    root.grant_permissions(user, [granted(place, "restricted")])
    assert state_in(root, user, place[0])["cert_state"] == "Removed"
    again = written(ack_client(key).describe_cluster_user_kubeconfig(place[0]))
    until(lambda: may(again, place), 5, "a new one works")
    assert not may(file, place)
