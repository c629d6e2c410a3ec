"""Credentials for pods: a token of a real API server, the vendor's SDK that asks with it, and what the credentials may do.

Two servers share a database, so that what ends at one is seen to end at the other.
"""

import base64
import json
import secrets
import subprocess

import huaweicloudsdkcce.v3 as cce
import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness import sdk
from harness.process import clean_environment, until
from harness.server import REPOSITORY, Server

MANIFEST = REPOSITORY / "deploy/connector/pod-identity.yaml"
AUDIENCE = "service.cce.pods"


def connector_reads_pods(api_server, verb, folder):
    """Applies or deletes the connector's manifest for pod identity, as the cluster's operator."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(api_server.kubeconfig, encoding="utf-8")
    command = ["kubectl", f"--kubeconfig={kubeconfig}", verb, "-f", MANIFEST]
    subprocess.run(command, check=True, capture_output=True, env=clean_environment(HOME=str(folder)))


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


class Workload:
    """A service account in a namespace, perhaps with a pod, as a real API server has them."""

    def __init__(self, kube, namespace, name=None):
        self.kube, self.namespace = kube, namespace
        self.name = name or f"sa-{secrets.token_hex(3)}"
        self.create()

    @property
    def path(self):
        return f"/api/v1/namespaces/{self.namespace}/serviceaccounts"

    def create(self):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.name}}
        self.kube.create(self.path, account)

    def delete(self):
        self.kube.delete(f"{self.path}/{self.name}")

    def pod(self):
        """A pod of it on a node that there is not: no kubelet is needed for it to be there."""
        spec = {
            "serviceAccountName": self.name,
            "automountServiceAccountToken": False,
            "nodeName": "nowhere",
            "containers": [{"name": "c", "image": "none.invalid/none"}],
            "terminationGracePeriodSeconds": 0,
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{secrets.token_hex(3)}"}, "spec": spec}
        return self.kube.create(f"/api/v1/namespaces/{self.namespace}/pods", pod)

    def delete_pod(self, pod):
        self.kube.delete(f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}")

    def token(self, pod=None, audience=AUDIENCE, seconds=3600):
        """A token as a projected volume has it."""
        spec = {"audiences": [audience], "expirationSeconds": seconds}
        if pod:
            names = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", **names}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return self.kube.create(f"{self.path}/{self.name}/token", request)["status"]["token"]


class Vending:
    """An agency, associations with it, and what the vendor's SDK gets by them."""

    def __init__(self, server, postgres, cluster):
        self.server, self.cluster = server, cluster
        self.postgres, self.database = postgres, server.database.rsplit("/", 1)[1]
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

    def write(self, statement):
        self.postgres.query(
            self.database,
            f"BEGIN; UPDATE revision SET n = n + 1, directory = n + 1 WHERE account_id = '{self.server.account}'; "
            f"{statement}; COMMIT",
        )

    def associate(self, workload, cluster=None):
        """The id of a new association."""
        found = f"assoc-{secrets.token_hex(8)}"
        self.write(
            "INSERT INTO associations (id, account_id, cluster_id, namespace, service_account, agency_id, tags, epoch, "
            f"revision, created_at, modified_at) SELECT '{found}', '{self.server.account}', '{cluster or self.cluster}', "
            f"'{workload.namespace}', '{workload.name}', '{self.agency}', '', 0, n, 0, 0 FROM revision "
            f"WHERE account_id = '{self.server.account}'"
        )
        return found

    def dissociate(self, association):
        self.write(f"DELETE FROM associations WHERE id = '{association}'")

    def vend(self, token, key=None, cluster=None):
        """What the SDK's operation answers."""
        key_id, secret = key or (self.server.key_id, self.server.secret)
        client = sdk.cce_client(self.server.base, key_id, secret, self.server.project)
        body = cce.AssumeAgencyForPodIdentityRequestBody(token=token)
        request = cce.AssumeAgencyForPodIdentityRequest(cluster_id=cluster or self.cluster, body=body)
        return client.assume_agency_for_pod_identity(request)

    def refused(self, token, status, reason=None, **options):
        """Vending is refused in the vendor's shape, and in ours with the word."""
        with pytest.raises(ClientRequestException) as refusal:
            self.vend(token, **options)
        assert refusal.value.status_code == status, refusal.value
        if reason:
            path = f"/bailiwick/v1/clusters/{options.get('cluster') or self.cluster}/pod-identity/credentials"
            answer = self.server.client().request("POST", path, {"token": token})
            assert (answer.status, answer.json()["error"].get("reason")) == (status, reason), answer
        return refusal.value

    def policies_of(self, vended, server=None):
        """The access policies that are listed with vended credentials."""
        credentials = sdk.temporary(vended.credentials)
        client = sdk.cce_client_with((server or self.server).base, credentials.with_project_id(self.server.project))
        return client.list_access_policy(cce.ListAccessPolicyRequest())


@pytest.fixture
def ours(server, postgres, vending):
    made = Vending(server, postgres, vending)
    made.allow("cce:accessPolicy:list")
    return made


@pytest.fixture
def workload(kube, namespace):
    return Workload(kube, namespace)


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
    twin = Workload(there, workload.namespace, workload.name)
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
        fresh = Workload(kube, namespace)
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
