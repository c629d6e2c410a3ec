"""The agent of a node: the vendor's unmodified SDK gets credentials through it with two variables and nothing else.

The API server, the server, the agent and the SDK are real; there is no kubelet, so tokens are asked for as a kubelet does.
"""

import concurrent.futures
import datetime
import json
import secrets
import subprocess
import time

import huaweicloudsdkcce.v3 as cce
import pytest
from huaweicloudsdkcore.auth.provider import CredentialProviderChain, PodIdentityCredentialProvider
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, SdkException

from harness import sdk
from harness.pods import Account, NodeAgent, agent_with_test_clock, connector_reads_pods
from harness.process import free_port, until
from harness.server import Server

METADATA = "169.254.169.254/32"
PODS = 500
# What is no promise has time: machines that test do other things, too.
SOON = 30


@pytest.fixture(scope="module")
def server(database_url):
    """A server that comes back at the address where it was."""
    made = Server(database=database_url("postgres"), arguments=("--listen", f"127.0.0.1:{free_port()}"))
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(autouse=True)
def server_is_there(server):
    """Whatever a test before did to it."""
    if not server.process.running():
        server.start()


@pytest.fixture(scope="module")
def cluster(server, api_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("operator")
    cluster = server.add_cluster(api_server)
    connector_reads_pods(api_server, "apply", folder)
    yield cluster
    connector_reads_pods(api_server, "delete", folder)


@pytest.fixture(scope="module")
def agent_key(server, cluster):
    path = f"/bailiwick/v1/clusters/{cluster}/pod-identity/agent"
    return server.client().call("POST", path, status=201)


@pytest.fixture(scope="module")
def agent(server, cluster, agent_key):
    made = NodeAgent(server.base, cluster, agent_key, arguments=["--node", "nowhere"])
    try:
        yield made.start()
    finally:
        made.stop()


class Agency:
    """An agency with a policy, and the associations with it."""

    def __init__(self, server, cluster, *actions):
        self.server, self.name = server, f"agency-{secrets.token_hex(4)}"
        self.path = f"/bailiwick/v1/clusters/{cluster}/pod-identity/associations"
        self.id = server.add_agency(self.name)
        document = {"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": ["*"]}]}
        name = f"policy-{secrets.token_hex(4)}"
        server.client().call("POST", "/bailiwick/v1/policies", {"name": name, "document": document}, status=201)
        server.do("policy", "attach", name, "--agency", self.name)

    def associate(self, account):
        body = {"namespace": account.namespace, "serviceAccount": account.name, "agency": self.name}
        return self.server.client().call("POST", self.path, body, status=201)["id"]

    def take_over(self, association):
        self.server.client().call("PATCH", f"{self.path}/{association}", {"agency": self.name})

    def end(self, association):
        self.server.client().call("DELETE", f"{self.path}/{association}", status=204)


@pytest.fixture
def reader(server, cluster):
    return Agency(server, cluster, "cce:accessPolicy:list")


@pytest.fixture
def account(kube, namespace):
    return Account(kube, namespace)


@pytest.fixture
def in_pod(agent, monkeypatch, tmp_path):
    """Makes this process see what a pod with that token sees: two variables and a file."""

    def enter(token):
        file = tmp_path / "token"
        file.write_text(token + "\n", encoding="utf-8")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("HC_CONTAINER_CREDENTIALS_FULL_URI", agent.url)
        monkeypatch.setenv("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))

    return enter


def client_of(server, credentials):
    return sdk.cce_client_with(server.base, credentials.with_project_id(server.project))


def kept(agent, token):
    """What the agent gives for a token, once it keeps it. Before it was told of the association and the cluster's keys it asks the
    server each time."""

    def twice():
        (status, first), again = agent.ask(token), agent.ask(token)
        return (status, first) == again and status == 200 and first

    return until(twice, SOON, "the same credentials again")


def key_of(agent, token):
    """Which credentials the agent gives for a token now, or None."""
    status, answer = agent.ask(token)
    return answer["credentials"]["accessKeyId"] if status == 200 else None


def lists_and_nothing_else(server, credentials):
    client = client_of(server, credentials)
    client.list_access_policy(cce.ListAccessPolicyRequest())
    with pytest.raises(ClientRequestException) as refusal:
        client.delete_access_policy(cce.DeleteAccessPolicyRequest(policy_id="none"))
    assert refusal.value.status_code == 403, refusal.value


def test_the_sdk_gets_credentials_by_two_variables_that_do_what_the_agency_may(
    server, agent, account, reader, in_pod
):
    reader.associate(account)
    in_pod(account.token(account.pod()))
    until(lambda: agent.metric("associations") >= 1, SOON, "the association is known to the agent")
    lists_and_nothing_else(server, until(provided, SOON, "credentials"))
    # Who asks again gets the same: the first question made the server learn the cluster's keys, and tell them.
    until(lambda: provided().ak == provided().ak, SOON, "the same credentials again")


def provided():
    return PodIdentityCredentialProvider.get_basic().get_credentials()


def test_the_default_chain_of_the_sdk_comes_to_the_agent_past_the_metadata(
    server, cluster, agent, agent_key, account, reader, in_pod
):
    """The chain asks the machine's metadata first, and goes on only where that answers 404."""
    assert ip("add").returncode == 0, "this test needs an address of its own on the loopback interface, as root"
    beside = NodeAgent(server.base, cluster, agent_key, arguments=["--metadata-listen", "169.254.169.254:80"])
    try:
        reader.associate(account)
        in_pod(account.token(account.pod()))
        with pytest.raises(Exception, match="169.254.169.254"):
            CredentialProviderChain.get_basic().get_credentials()
        beside.start()
        chain = CredentialProviderChain.get_basic()
        lists_and_nothing_else(server, until(chain.get_credentials, SOON, "credentials"))
    finally:
        beside.stop()
        ip("del")


def ip(verb):
    return subprocess.run(["ip", "addr", verb, METADATA, "dev", "lo"], check=False, capture_output=True)


def test_a_changed_agency_is_that_of_the_next_fetch_and_an_ended_association_gives_nothing(
    server, cluster, agent, account, reader
):
    token = account.token(account.pod())
    association = reader.associate(account)
    before = kept(agent, token)
    first = before["credentials"]["accessKeyId"]
    other = Agency(server, cluster, "cce:cluster:list")
    other.take_over(association)
    until(lambda: key_of(agent, token) != first, 5, "nothing more of the former agency")
    answer = kept(agent, token)
    assert answer["epoch"] > before["epoch"]
    key = answer["credentials"]
    credentials = sdk.BasicCredentials(key["accessKeyId"], key["secretAccessKey"])
    client = client_of(server, credentials.with_security_token(key["securityToken"]))
    with pytest.raises(ClientRequestException) as refusal:
        client.list_access_policy(cce.ListAccessPolicyRequest())
    assert refusal.value.status_code == 403, "the new agency may not do what the old one could"
    reader.end(association)
    until(lambda: key_of(agent, token) is None, 5, "nothing more")
    refused = until(lambda: (answer := agent.ask(token))[0] == 403 and answer[1], SOON, "a refusal")
    assert refused["code"] == "no-association", refused


def test_tokens_without_a_pod_share_what_is_their_service_accounts(agent, account, reader):
    reader.associate(account)
    tokens = [account.token(), account.token(seconds=4000)]
    assert tokens[0] != tokens[1]
    first = kept(agent, tokens[0])
    assert [agent.ask(token) for token in tokens * 2] == [(200, first)] * 4
    assert agent.ask(account.token(audience="somebody-else")) == (
        401,
        {"code": "wrong-audience", "message": "the token is for another audience"},
    )


def test_the_sdk_is_told_what_is_wrong(agent, account, in_pod):
    token = account.token()
    refused = until(lambda: (answer := agent.ask(token))[0] == 403 and answer[1], SOON, "a refusal")
    assert "no pod identity association" in refused["message"]
    in_pod(token)
    with pytest.raises(SdkException, match="403 Client Error"):
        PodIdentityCredentialProvider.get_basic().get_credentials()


def test_nothing_that_an_agent_says_holds_a_token_or_a_key(agent, account, reader):
    reader.associate(account)
    token = account.token()
    secret = kept(agent, token)["credentials"]["secretAccessKey"]
    agent.ask(token[:-4] + "AAAA")
    said = agent.process.output() + agent.get("/metrics")[1]
    for hidden in (secret, token.rsplit(".", 1)[0], (agent.folder / "secretAccessKey").read_text()):
        assert hidden not in said


def test_a_server_that_is_killed_amid_first_fetches_leaves_no_pod_without_credentials(
    server, agent, account, reader
):
    reader.associate(account)
    ready = account.token(account.pod())
    vended = kept(agent, ready)
    tokens = [account.token(account.pod()) for _ in range(PODS)]
    before = asked(agent)

    def fetch(token):
        """What a pod does that starts: it tries until it has credentials."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status, answer = agent.ask(token, timeout=30)
            if status == 200:
                return answer["credentials"]["accessKeyId"]
            assert status == 503, (status, answer)
            time.sleep(1)
        return None

    with concurrent.futures.ThreadPoolExecutor(PODS) as pool:
        fetches = [pool.submit(fetch, token) for token in tokens]
        until(lambda: asked(agent) - before > PODS // 10, 60, "the first fetches were answered")
        server.process.popen.kill()
        server.process.popen.wait()
        try:
            # What was vended before is still there, though nobody can be asked.
            assert agent.ask(ready) == (200, vended)
        finally:
            server.start()
        keys = [fetched.result() for fetched in fetches]
    assert None not in keys and len(set(keys)) == PODS
    questions = asked(agent) - before
    assert questions <= PODS * 1.05 + 2 * 64, f"{questions} questions for {PODS} pods"


def asked(agent):
    """How often the agent asked the server for credentials."""
    lines = agent.get("/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("bailiwick_agent_upstream_total"))


def test_while_the_server_is_away_pods_get_what_is_valid_and_then_nothing(
    server, cluster, agent_key, account, reader, tmp_path
):
    binary = agent_with_test_clock()
    assert binary.exists(), f"{binary} does not exist; `make e2e` and `scripts/test-clock` build it"
    now, clock = datetime.datetime.now(datetime.timezone.utc), tmp_path / "now"

    def tell(**later):
        told = tmp_path / "told"
        told.write_text((now + datetime.timedelta(**later)).isoformat().replace("+00:00", "Z"), encoding="utf-8")
        told.replace(clock)

    tell()
    reader.associate(account)
    token = account.token(account.pod(), seconds=6 * 3600)
    agent = NodeAgent(server.base, cluster, agent_key, binary, environment={"BAILIWICK_TEST_NOW": clock})
    try:
        agent.start()
        first = kept(agent, token)
        ends = datetime.datetime.fromisoformat(first["credentials"]["expiration"].replace("Z", "+00:00"))
        server.process.popen.kill()
        server.process.popen.wait()
        life = (ends - now).total_seconds()
        for share in (0.5, 0.9, 0.99):
            tell(seconds=life * share)
            assert agent.ask(token) == (200, first), f"after {share} of its life"
        tell(seconds=life + 1)
        status, answer = agent.ask(token)
        assert (status, answer["code"]) == (503, "unavailable"), answer
    finally:
        agent.stop()


def test_an_agent_with_a_key_that_is_not_accepted_says_what_to_do(server, cluster, agent_key, account, reader):
    wrong = {"accessKeyId": agent_key["accessKeyId"], "secretAccessKey": secrets.token_hex(20)}
    agent = NodeAgent(server.base, cluster, wrong)
    try:
        with pytest.raises(AssertionError, match="readyz"):
            agent.start()
        status, text = agent.get("/readyz")
        assert status == 503 and "does not accept this agent" in json.loads(text)["message"]
        assert "agent.key.refused" in agent.process.output() and agent.metric("key_refused") == 1
        agent.write_key(agent_key)
        until(lambda: agent.get("/readyz")[0] == 200, SOON, "the right key is read")
        reader.associate(account)
        token = account.token()
        until(lambda: agent.ask(token)[0] == 200, SOON, "credentials by a new association")
    finally:
        agent.stop()
