"""Credentials for pods: a token of a real API server, the vendor's SDK that asks with it, and what the credentials may do.

Two servers share a database, so that what ends at one is seen to end at the other.
"""

import base64
import concurrent.futures
import json
import secrets
import subprocess
import time

import huaweicloudsdkcce.v3 as cce
import pytest
from huaweicloudsdkcore.auth.credentials import GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, ServiceResponseException

from harness import figures, sdk
from harness.pods import AUDIENCE, Account, connector_reads_pods
from harness.process import until
from harness.server import Server


@pytest.fixture(scope="module")
def pair(database_url):
    """Two servers on one database."""
    first = Server(database=database_url("postgres"))
    try:
        first.start()
        second = first.another()
        try:
            yield first, second.start()
        finally:
            second.remove()
    finally:
        first.remove()


@pytest.fixture(scope="module")
def server(pair):
    return pair[0]


@pytest.fixture(scope="module")
def vending(server, api_server, tmp_path_factory):
    """The shared cluster, with a connector that may tell what is alive: its id."""
    folder = tmp_path_factory.mktemp("operator")
    cluster = server.add_cluster(api_server)
    connector_reads_pods(api_server, "apply", folder)
    yield cluster
    connector_reads_pods(api_server, "delete", folder)


class Vending:
    """An agency, associations with it, and what the vendor's SDK gets by them."""

    def __init__(self, server, cluster):
        self.server, self.cluster = server, cluster
        self.agency_name = f"agency-{secrets.token_hex(4)}"
        self.agency = server.add_agency(self.agency_name)

    def allow(self, *actions, condition=None):
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": ["*"]}
        if condition:
            statement["Condition"] = condition
        name = f"policy-{secrets.token_hex(4)}"
        body = {"name": name, "document": {"Version": "5.0", "Statement": [statement]}}
        self.server.client().call("POST", "/bailiwick/v1/policies", body, status=201)
        self.server.do("policy", "attach", name, "--agency", self.agency_name)

    def associate(self, workload, cluster=None):
        """The id of a new association."""
        body = {"namespace": workload.namespace, "serviceAccount": workload.name, "agency": self.agency}
        path = f"/bailiwick/v1/clusters/{cluster or self.cluster}/pod-identity/associations"
        return self.server.client().call("POST", path, body, status=201)["id"]

    def dissociate(self, association):
        path = f"/bailiwick/v1/clusters/{self.cluster}/pod-identity/associations/{association}"
        self.server.client().call("DELETE", path, status=204)

    def trust(self, **condition):
        """Lets the agency trust pods where the condition holds, and no others."""
        statement = {
            "Effect": "Allow",
            "Action": ["sts:agencies:assume"],
            "Principal": {"Service": ["service.cce.pods"]},
            "Condition": {"StringEquals": {f"bailiwick:{key}": [value] for key, value in condition.items()}},
        }
        document = json.dumps({"Version": "5.0", "Statement": [statement]})
        self.server.client().call("PATCH", f"/bailiwick/v1/agencies/{self.agency}", {"trustPolicy": document})

    def vend(self, token, key=None, cluster=None):
        """What the SDK's operation answers."""
        key_id, secret = key or (self.server.key_id, self.server.secret)
        client = sdk.cce_client(self.server.base, key_id, secret, self.server.project)
        body = cce.AssumeAgencyForPodIdentityRequestBody(token=token)
        request = cce.AssumeAgencyForPodIdentityRequest(cluster_id=cluster or self.cluster, body=body)
        return client.assume_agency_for_pod_identity(request)

    def refused(self, token, status, reason=None, **options):
        """Vending is refused in the vendor's shape, and in ours with the word."""
        with pytest.raises(ServiceResponseException) as refusal:
            self.vend(token, **options)
        assert refusal.value.status_code == status, refusal.value
        if reason:
            path = f"/bailiwick/v1/clusters/{options.get('cluster') or self.cluster}/pod-identity/credentials"
            answer = self.server.client().request("POST", path, {"tokens": [token]})
            # What is about the cluster is about all tokens.
            told = answer.json()["answers"][0] if answer.status == 200 else {"status": answer.status, "body": answer.json()}
            assert (told["status"], told["body"]["error"].get("reason")) == (status, reason), answer
        return refusal.value

    def vend_each(self, tokens, client=None, status=200):
        """What our own operation answers, to agents as a rule."""
        path = f"/bailiwick/v1/clusters/{self.cluster}/pod-identity/credentials"
        return (client or self.server.client()).call("POST", path, {"tokens": tokens}, status=status)

    def policies_of(self, vended, server=None):
        """The access policies that are listed with vended credentials."""
        credentials = sdk.temporary(vended.credentials)
        client = sdk.cce_client_with((server or self.server).base, credentials.with_project_id(self.server.project))
        return client.list_access_policy(cce.ListAccessPolicyRequest())


@pytest.fixture
def ours(server, vending):
    made = Vending(server, vending)
    made.allow("cce:accessPolicy:list")
    return made


@pytest.fixture
def workload(kube, namespace):
    return Account(kube, namespace)


def test_a_pods_token_gives_credentials_that_do_what_the_agency_may_and_nothing_else(ours, workload):
    association = ours.associate(workload)
    pod = workload.pod()
    vended = ours.vend(workload.token(pod))
    assert vended.pod_identity_association_id == association
    assert (vended.subject.namespace, vended.subject.service_account) == (workload.namespace, workload.name)
    assert vended.assumed_agency is None and vended.audience is None
    assert vended.credentials.expiration.endswith(".000000Z") or "." in vended.credentials.expiration
    ours.policies_of(vended)
    credentials = sdk.temporary(vended.credentials).with_project_id(ours.server.project)
    client = sdk.cce_client_with(ours.server.base, credentials)
    with pytest.raises(ClientRequestException) as refusal:
        client.delete_access_policy(cce.DeleteAccessPolicyRequest(policy_id="none"))
    assert refusal.value.status_code == 403


def parts(token):
    """Header and claims of a token."""
    padded = [part + "=" * (-len(part) % 4) for part in token.split(".")[:2]]
    return [json.loads(base64.urlsafe_b64decode(part)) for part in padded]


def plain(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def signed(header, claims, key):
    """A token of whoever holds that RSA key."""
    message = f"{plain(header)}.{plain(claims)}"
    command = ["openssl", "dgst", "-sha256", "-sign", str(key)]
    signature = subprocess.run(command, input=message.encode(), check=True, capture_output=True).stdout
    return f"{message}.{plain(signature)}"


@pytest.fixture
def altered(api_server, ours, workload):
    """Makes the token of an associated workload anew with the cluster's own key, but for what is changed."""
    ours.associate(workload)
    good = workload.token(workload.pod())
    header, claims = parts(good)

    def make(key=None, header_changes=None, **changes):
        return signed({**header, **(header_changes or {})}, {**claims, **changes}, key or api_server.service_account_key)

    ours.vend(good)
    ours.vend(make())
    return make


def test_a_token_for_another_audience_is_refused(ours, altered):
    ours.refused(altered(aud=["https://kubernetes.default.svc"]), 401, "wrong-audience")


def test_a_token_of_another_issuer_is_refused(ours, altered):
    ours.refused(altered(iss="https://elsewhere.example"), 401, "wrong-issuer")


def test_a_token_whose_time_is_over_is_refused(ours, altered):
    ours.refused(altered(exp=1_700_000_000), 401, "expired")


def test_a_token_whose_time_has_not_come_is_refused(ours, altered):
    ours.refused(altered(nbf=4_000_000_000, exp=4_000_003_600), 401, "not-yet-valid")


def test_a_token_that_another_key_signed_is_refused_whatever_id_it_gives_itself(ours, altered, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    ours.refused(altered(key=key), 401, "wrong-signature")
    ours.refused(altered(key=key, header_changes={"kid": "mine"}), 401, "unknown-key")


def test_a_token_that_nobody_signed_is_refused(ours, altered):
    header, claims = parts(altered())
    for nothing in ("", "."):
        token = f"{plain({**header, 'alg': 'none'})}.{plain(claims)}.{nothing}"
        ours.refused(token, 401)
    token = f"{plain({**header, 'alg': 'none'})}.{plain(claims)}."
    ours.refused(token, 401, "wrong-algorithm")


def test_the_token_of_another_cluster_is_refused_though_names_are_the_same(
    server, ours, workload, other_api_server, tmp_path
):
    ours.associate(workload)
    ours.vend(workload.token())
    there = other_api_server.client()
    there.create_namespace(workload.namespace)
    twin = Account(there, workload.namespace, workload.name)
    ours.refused(twin.token(), 401)
    # And the other way round: the cluster is what the path says, and never what the token says.
    other = server.add_cluster(other_api_server)
    connector_reads_pods(other_api_server, "apply", tmp_path)
    ours.associate(twin, cluster=other)
    ours.vend(twin.token(twin.pod()), cluster=other)
    ours.refused(workload.token(), 401, cluster=other)


def test_the_token_of_a_pod_that_was_deleted_is_refused(ours, workload):
    ours.associate(workload)
    pod = workload.pod()
    token = workload.token(pod)
    ours.vend(token)
    workload.delete_pod(pod)
    ours.refused(token, 401, "gone")


def test_a_recreated_service_accounts_old_token_is_refused_and_its_new_one_is_not(ours, workload):
    ours.associate(workload)
    old = workload.token()
    vended = ours.vend(old)
    ours.policies_of(vended)
    workload.delete()
    workload.create()
    ours.refused(old, 401, "gone")
    ours.policies_of(ours.vend(workload.token()))
    until(lambda: refused_now(ours, vended), 1, "what was vended for the former one is over")


def refused_now(ours, vended, server=None):
    """Whether what was vended proves nothing any more."""
    try:
        ours.policies_of(vended, server)
    except ClientRequestException as refusal:
        assert refusal.status_code == 401, refusal
        return True
    return False


def test_a_workload_that_was_made_a_moment_ago_is_not_unknown(ours, kube, namespace):
    for _ in range(5):
        fresh = Account(kube, namespace)
        ours.associate(fresh)
        ours.vend(fresh.token(fresh.pod()))


def test_a_service_account_without_association_gets_nothing(ours, workload):
    ours.refused(workload.token(), 403, "no-association")


def test_with_its_association_everything_that_was_vended_by_it_is_over_on_all_servers(pair, ours, workload):
    first, second = pair
    association = ours.associate(workload)
    vended = ours.vend(workload.token())
    for server in (first, second):
        ours.policies_of(vended, server)
    ours.dissociate(association)
    for server in (first, second):
        until(lambda: refused_now(ours, vended, server), 1, f"{server.base} refuses what was vended")
    ours.refused(workload.token(), 403, "no-association")


def test_with_its_service_account_everything_that_was_vended_for_it_is_over_on_all_servers(pair, ours, workload):
    first, second = pair
    ours.associate(workload)
    vended = ours.vend(workload.token(workload.pod()))
    for server in (first, second):
        ours.policies_of(vended, server)
    workload.delete()
    for server in (first, second):
        until(lambda: refused_now(ours, vended, server), 1, f"{server.base} refuses what was vended")


def test_who_lacks_the_right_gets_nothing_whatever_the_token(server, ours, workload):
    ours.associate(workload)
    user = server.add_user()
    refusal = ours.refused(workload.token(), 403, key=server.add_key(user))
    assert "cce::assumeAgencyForPodIdentity" in refusal.error_msg, refusal


def test_the_vendors_name_of_the_right_is_one_that_policies_may_use(server, ours, workload):
    ours.associate(workload)
    user = server.add_user()
    statement = {"Effect": "Allow", "Action": ["cce::assumeAgencyForPodIdentity"], "Resource": ["*"]}
    name = f"policy-{secrets.token_hex(4)}"
    body = {"name": name, "document": {"Version": "5.0", "Statement": [statement]}}
    server.client().call("POST", "/bailiwick/v1/policies", body, status=201)
    server.do("policy", "attach", name, "--user", user)
    ours.vend(workload.token(), key=server.add_key(user))


def test_an_agency_that_trusts_pods_of_its_own_is_told_as_such_and_one_that_leaves_them_out_refuses(ours, workload):
    ours.associate(workload)
    ours.trust(Namespace=workload.namespace)
    vended = ours.vend(workload.token())
    name = f":assumed-agency:{ours.agency_name}/"
    assert vended.audience == AUDIENCE and name in vended.assumed_agency.urn, vended
    assert vended.assumed_agency.id.startswith(f"{ours.agency}:")
    ours.policies_of(vended)
    ours.trust(Namespace="another")
    ours.refused(workload.token(), 403, "trust-refuses")


def projects_with(server, key_id, secret, token=None):
    """Lists projects, which is allowed or refused as a whole: the status."""
    credentials = GlobalCredentials(key_id, secret, server.account)
    if token:
        credentials = credentials.with_security_token(token)
    client = sdk._build(sdk.iam.IamClient, credentials, server.base)
    try:
        client.keystone_list_projects(sdk.iam.KeystoneListProjectsRequest())
    except ServiceResponseException as refusal:
        return refusal.status_code
    return 200


def test_policies_may_ask_for_the_pods_that_call_and_nobody_else_passes_for_one(server, vending, kube, workload):
    ours = Vending(server, vending)
    spaces = {"g:PrincipalTag/kubernetes-namespace": [workload.namespace]}
    ours.allow("iam:projects:listProjects", condition={"StringEquals": spaces})
    elsewhere = Account(kube, kube.create_namespace(f"ns-{secrets.token_hex(4)}"))
    for pods, status in ((workload, 200), (elsewhere, 403)):
        ours.associate(pods)
        key = ours.vend(pods.token(pods.pod())).credentials
        assert projects_with(server, key.access_key_id, key.secret_access_key, key.security_token) == status
    # Absence opens nothing: who is no pod at all is not "any pod but those".
    for operator, status in (("StringNotEquals", 403), ("StringNotEqualsIfExists", 200)):
        user = server.add_user()
        statement = {"Effect": "Allow", "Action": ["iam:projects:listProjects"], "Resource": ["*"]}
        statement["Condition"] = {operator: {"bailiwick:PrincipalTag/kubernetes-namespace": ["dev"]}}
        name = f"policy-{secrets.token_hex(4)}"
        body = {"name": name, "document": {"Version": "5.0", "Statement": [statement]}}
        server.client().call("POST", "/bailiwick/v1/policies", body, status=201)
        server.do("policy", "attach", name, "--user", user)
        assert projects_with(server, *server.add_key(user)) == status, operator


def test_the_agent_of_one_cluster_vends_for_no_other_whatever_token_it_has(server, ours, workload, other_api_server):
    ours.associate(workload)
    agent = server.client().call("POST", f"/bailiwick/v1/clusters/{ours.cluster}/pod-identity/agent", status=201)
    key = agent["accessKeyId"], agent["secretAccessKey"]
    token = workload.token(workload.pod())
    vended = ours.vend(token, key=key)
    other = server.add_cluster(other_api_server)
    ours.refused(token, 403, key=key, cluster=other)
    there = other_api_server.client()
    there.create_namespace(workload.namespace)
    foreign = Account(there, workload.namespace, workload.name).token()
    ours.refused(foreign, 403, key=key, cluster=other)
    ours.refused(foreign, 401, key=key)
    # A stolen key: whoever ends what the agent began ends what was vended through it.
    ours.policies_of(vended)
    server.do("revoke", "principal", agent["principal"])
    until(lambda: refused_now(ours, vended), 1, "what was vended through a revoked agent is over")
    server.client().call("DELETE", f"/bailiwick/v1/clusters/{ours.cluster}/pod-identity/agent", status=204)


def test_after_the_agents_key_was_renewed_pods_go_on(server, ours, workload):
    ours.associate(workload)
    path = f"/bailiwick/v1/clusters/{ours.cluster}/pod-identity/agent"
    agent = server.client().call("POST", path, status=201)
    vended = ours.vend(workload.token(), key=(agent["accessKeyId"], agent["secretAccessKey"]))
    keeper = agent["keeper"]
    server.client((keeper["accessKeyId"], keeper["secretAccessKey"])).call("POST", f"{path}/renew", status=201)
    ours.policies_of(vended)
    # The older key ends with its time; here it is ended at once.
    server.client().call("DELETE", f"/bailiwick/v1/access-keys/{agent['accessKeyId']}")
    ours.policies_of(vended)


def test_the_audit_names_pod_association_and_agency_and_is_asked_for_a_pod(server, ours, workload):
    association = ours.associate(workload)
    pod, other = workload.pod(), workload.pod()
    vended = ours.vend(workload.token(pod))
    ours.vend(workload.token(other))
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    for asked in (f"{workload.namespace}/{name}", uid):
        events = server.cli("audit", "list", "--pod", asked)
        (event,) = events["items"] if isinstance(events, dict) else events
        assert event["action"] == "bailiwick:podIdentity:vend" and event["outcome"] == "done"
        for part in (name, uid, association, ours.agency, vended.credentials.access_key_id, ours.cluster):
            assert part in event["resource"], (part, event)
    assert server.run("audit", "list", "--pod", "%").returncode != 0


def tried(server, cluster, workload, *arguments):
    """What `pod-identity test` answers, and whether it was content."""
    line = ["--cluster", cluster, "-n", workload.namespace, "--service-account", workload.name, *arguments]
    done = server.run("pod-identity", "test", *line, "-o", "json")
    return json.loads(done.stdout), done.returncode == 0


def test_the_command_line_says_what_a_pod_would_get_and_which_step_refuses(server, ours, kube, workload):
    answer, content = tried(server, ours.cluster, workload)
    assert (answer["allowed"], answer["reason"], answer["agency"], content) == (False, "no-association", None, False)
    ours.associate(workload)
    pod = workload.pod()["metadata"]["name"]
    answer, content = tried(server, ours.cluster, workload, "--pod", pod)
    expected = {"audience": AUDIENCE, "agency": ours.agency_name, "allowed": True, "reason": None, "message": None}
    assert (answer, content) == (expected, True)
    assert tried(server, ours.cluster, workload, "--pod", "none")[0]["reason"] == "missing"
    ours.trust(Namespace="another")
    assert tried(server, ours.cluster, workload)[0]["reason"] == "trust-refuses"
    workload.delete()
    ours.trust(Namespace=workload.namespace)
    assert tried(server, ours.cluster, workload)[0]["reason"] == "missing"


def test_a_connector_without_the_right_is_told_which_manifest_gives_it(server, ours, kube, namespace, other_api_server):
    there = other_api_server.client()
    there.create_namespace(namespace)
    twin = Account(there, namespace)
    binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/bailiwick:connector-pod-identity"
    if there.request("GET", binding)[0] == 200:
        there.delete(binding)
    cluster = server.add_cluster(other_api_server)
    ours.associate(twin, cluster=cluster)
    ours.refused(twin.token(), 503, "cluster-refuses", cluster=cluster)
    answer, _ = tried(server, cluster, twin)
    assert "deploy/connector/pod-identity.yaml" in answer["message"], answer


def test_of_a_cluster_that_was_replaced_nothing_is_vended(server, ours, kube, namespace, api_server, other_api_server):
    workload = Account(kube, namespace)
    cluster = server.add_cluster_as_root(api_server)
    ours.associate(workload, cluster=cluster)
    ours.vend(workload.token(), cluster=cluster)
    there = other_api_server.client()
    there.create_namespace(namespace)
    twin = Account(there, namespace, workload.name)
    file = server.folder / "replacing.kubeconfig"
    file.write_text(other_api_server.kubeconfig, encoding="utf-8")
    assert server.run("cluster", "rotate", cluster, "--kubeconfig", file).returncode != 0
    ours.vend(workload.token(seconds=3601), cluster=cluster)
    ours.refused(twin.token(), 401, cluster=cluster)
    server.do("cluster", "rotate", cluster, "--kubeconfig", file, "--replace")
    ours.refused(twin.token(), 403, "cluster-suspended", cluster=cluster)
    ours.refused(workload.token(), 403, "cluster-suspended", cluster=cluster)


def test_the_vendors_sdk_finds_its_project_with_vended_credentials(ours, workload):
    """Its pod-identity provider has no project, and asks for it before its first call."""
    ours.associate(workload)
    vended = ours.vend(workload.token())
    ours.allow("iam:projects:listProjects")
    credentials = sdk.temporary(vended.credentials).with_iam_endpoint(ours.server.base)
    builder = cce.CceClient.new_builder().with_http_config(sdk._config()).with_credentials(credentials)
    client = builder.with_region(sdk.Region(ours.server.project_name, ours.server.base)).build()
    client.list_access_policy(cce.ListAccessPolicyRequest())


def test_tokens_of_several_pods_are_each_answered_in_their_place(server, ours, workload):
    """Whatever the others are: of one that is gone, of nobody, of somebody who signs for himself."""
    ours.associate(workload)
    pods = [workload.pod() for _ in range(3)]
    first, gone, last = (workload.token(pod) for pod in pods)
    workload.delete_pod(pods[1])
    tokens = [first, "nonsense", gone, first[:-8] + "AAAAAAAA", last]
    answers = ours.vend_each(tokens)["answers"]
    told = [(answer["status"], answer["body"].get("error", {}).get("reason")) for answer in answers]
    assert told == [(200, None), (401, "malformed-token"), (401, "gone"), (401, "wrong-signature"), (200, None)]
    for answer, pod in ((answers[0], pods[0]), (answers[4], pods[2])):
        events = server.cli("audit", "list", "--pod", pod["metadata"]["uid"])
        (event,) = events["items"] if isinstance(events, dict) else events
        assert answer["body"]["credentials"]["accessKeyId"] in event["resource"], event


def test_what_is_asked_for_several_pods_has_bounds(ours, workload):
    for tokens in ([], ["a.b.c"] * 33, "a.b.c", [1]):
        fault = ours.vend_each(tokens, status=400)["error"]
        assert fault["field"].startswith("tokens"), fault
    assert [answer["status"] for answer in ours.vend_each(["a.b.c"] * 32)["answers"]] == [401] * 32


def test_many_pods_at_once_all_get_credentials(ours, workload):
    """Of one service account: no bound of an agency or of an agent holds them back."""
    ours.associate(workload)
    tokens = [workload.token(workload.pod()) for _ in range(20)]
    times = []

    def many(token):
        client = ours.server.client()
        for round in range(25):
            began = time.monotonic()
            (answer,) = ours.vend_each([token], client)["answers"]
            assert answer["status"] == 200, answer
            times.append(time.monotonic() - began)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(many, tokens))
    assert len(times) == 500
    times.sort()
    middle, late = times[250] * 1000, times[494] * 1000
    figures.LINES.append(f"500 vends, 20 in flight: p50 {middle:.0f} ms, p99 {late:.0f} ms")
