"""Temporary keys and tokens: an agency is assumed, used, and over with whatever it came from."""

import json
import re
import secrets
import time

import huaweicloudsdkcce.v3 as cce
import huaweicloudsdkiam.v3 as iam
import huaweicloudsdksts.v1 as sts
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness import figures, sdk, signer
from harness.process import until
from harness.wire import request_bytes, send_raw

PATH = "/api/v3/access-policies"


class Directory:
    """What no interface sets yet is written into the database, and every server is told to look."""

    def __init__(self, server, postgres):
        self.server, self.postgres = server, postgres
        self.database = server.database.rsplit("/", 1)[1]

    def write(self, statement):
        account = self.server.account
        self.postgres.query(
            self.database,
            f"BEGIN; {statement}; UPDATE revision SET n = n + 1, directory = n + 1 WHERE account_id = '{account}'; COMMIT",
        )

    def trust(self, agency, *names):
        document = {
            "Version": "5.0",
            "Statement": [{"Effect": "Allow", "Action": ["sts:agencies:assume"], "Principal": {"IAM": list(names)}}],
        }
        change = {"trustPolicy": json.dumps(document), "maxSessionSeconds": 7200}
        self.server.client().call("PATCH", f"/bailiwick/v1/agencies/{agency}", change)

    def attach(self, principal, policy):
        self.write(
            "INSERT INTO attachments (account_id, principal_id, policy_id, scope, scope_id, created_at) "
            f"VALUES ('{self.server.account}', '{principal}', '{policy}', 'account', '', 0)"
        )


@pytest.fixture(scope="module")
def pair(database_url, postgres):
    """Two servers on one database."""
    from harness.server import Server

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


class Build:
    """A user with a key, and an agency that trusts the user and may work with access policies."""

    def __init__(self, server, postgres):
        self.server, self.name = server, f"build-{secrets.token_hex(4)}"
        self.agency = server.add_agency(self.name)
        self.user_name = f"ada-{secrets.token_hex(4)}"
        self.user = server.add_user(self.user_name)
        self.key = server.add_key(self.user)
        directory = Directory(server, postgres)
        directory.trust(self.agency, f"iam::{server.account}:user:{self.user_name}")
        directory.attach(self.agency, "cce-full-access")

    def request(self, **more):
        more = {"agency_session_name": "session-1", "duration_seconds": 900, **more}
        urn = f"iam::{self.server.account}:agency:{self.name}"
        return sts.AssumeAgencyRequest(body=sts.AssumeAgencyReqBody(agency_urn=urn, **more))

    def assume(self, credentials=None, **more):
        credentials = credentials or BasicCredentials(*self.key)
        client = sdk.sts_client(self.server.base, credentials)
        return sdk.unlike_any_other(client.assume_agency_invoker(self.request(**more)))


@pytest.fixture
def build(pair, postgres):
    return Build(pair[0], postgres)


def listed(server, credentials):
    return sdk.cce_client_with(server.base, credentials).list_access_policy(cce.ListAccessPolicyRequest())


def is_refused(server, credentials):
    try:
        listed(server, credentials)
    except ClientRequestException as refused:
        assert refused.status_code == 401, refused
        return True
    return False


ENDS = {
    "the agency's key": lambda build, key: ("key", key.access_key_id),
    "the user's key": lambda build, key: ("key", build.key[0]),
    "the user": lambda build, key: ("principal", build.user),
    "the agency": lambda build, key: ("principal", build.agency),
}


@pytest.mark.parametrize("what", ENDS)
def test_an_agencys_key_works_until_any_ancestor_is_revoked_on_every_server(pair, build, what):
    first, second = pair
    assumed = build.assume()
    assert assumed.assumed_agency.urn == f"sts::{first.account}:assumed-agency:{build.name}/session-1"
    assert assumed.assumed_agency.id == f"{build.agency}:session-1"
    credentials = sdk.temporary(assumed.credentials)
    for server in pair:
        assert listed(server, credentials).status_code == 200
        identity = sdk.sts_client(server.base, credentials).get_caller_identity(sts.GetCallerIdentityRequest())
        assert identity.principal_urn == assumed.assumed_agency.urn
        assert (identity.account_id, identity.principal_id) == (first.account, assumed.assumed_agency.id)
    verb, named = ENDS[what](build, assumed.credentials)
    receipt = first.cli("revoke", verb, named)
    revoked = time.monotonic()
    assert receipt["ended"]["temporaryKeys"] == 1, receipt
    assert assumed.credentials.secret_access_key not in json.dumps(receipt)
    assert assumed.credentials.security_token not in json.dumps(receipt)
    assert is_refused(first, credentials), "at once where it was revoked"
    until(lambda: is_refused(second, credentials), 1, "the other server refuses it", interval=0.005)
    figures.note(f"revoking {what}: refused by the other server after {(time.monotonic() - revoked) * 1e3:.0f} ms")


def test_a_recorded_request_for_a_session_shows_no_secret_again(pair, build):
    host = pair[0].base.split("//")[1]
    urn = f"iam::{build.server.account}:agency:{build.name}"
    agency = json.dumps({"agency_urn": urn, "agency_session_name": "session-1"}).encode()
    own = json.dumps({"auth": {"identity": {"methods": ["token"]}}}).encode()
    for path, body, expected in (
        ("/v5/agencies/assume", agency, 200),
        ("/v3.0/OS-CREDENTIAL/securitytokens", own, 201),
    ):
        headers = signer.signed_headers(*build.key, "POST", path, host, body)
        recorded = request_bytes("POST", path, headers, body)
        answers = [send_raw(server.base, recorded, "POST") for server in (*pair, *pair)]
        assert [answer.status for answer in answers] == [expected, 409, 409, 409], answers
        assert all("secret" not in answer.body.decode().lower() for answer in answers[1:]), path


def test_a_chain_is_over_with_its_first_link(pair, build, postgres):
    first, second = pair
    other = Build(first, postgres)
    Directory(first, postgres).write(
        f"UPDATE agency_details SET trust_policy = replace(trust_policy, 'user:{other.user_name}', "
        f"'agency:{build.name}') WHERE agency_id = '{other.agency}'"
    )
    chain = [sdk.temporary(build.assume().credentials)]
    chain.append(sdk.temporary(other.assume(chain[0], duration_seconds=3600).credentials))
    with pytest.raises(ClientRequestException) as refused:
        other.assume(chain[0], duration_seconds=3601)
    assert refused.value.status_code == 400 and "duration_seconds" in refused.value.error_msg
    for credentials in chain:
        assert [listed(server, credentials).status_code for server in pair] == [200, 200]
    receipt = first.cli("revoke", "principal", build.user_name)
    assert receipt["revoked"]["disabled"] and receipt["ended"] == {
        "accessKeys": 1,
        "tokens": 0,
        "temporaryKeys": 2,
        "certificates": 0,
    }
    assert receipt["accessKeys"] == [build.key[0]]
    for credentials in chain:
        assert is_refused(first, credentials)
        until(lambda c=credentials: is_refused(second, c), 1, "the other server refuses it", interval=0.005)


def test_a_session_policy_limits_and_unknown_or_broken_ones_are_refused(build):
    reading = {"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["cce:accessPolicy:list"]}]}
    limited = sdk.temporary(build.assume(policy=json.dumps(reading)).credentials)
    client = sdk.cce_client_with(build.server.base, limited)
    assert client.list_access_policy(cce.ListAccessPolicyRequest()).status_code == 200
    with pytest.raises(ClientRequestException) as refused:
        client.delete_access_policy(cce.DeleteAccessPolicyRequest(policy_id="x"))
    assert refused.value.status_code == 403
    for more in ({"policy": '{"Version":"5.0"}'}, {"policy_ids": ["no-such-policy"]}):
        with pytest.raises(ClientRequestException) as refused:
            build.assume(**more)
        assert refused.value.status_code == 400, more


@pytest.mark.parametrize("key", ["namespace", "Kubernetes-Pod", "cluster-id", "Service-Account", "_sys_a"])
def test_tags_that_tell_about_pods_cannot_be_chosen(build, key):
    with pytest.raises(ClientRequestException) as refused:
        build.assume(tags=[sts.TagDto(key=key, value="prod")])
    assert refused.value.status_code == 400 and "tags" in refused.value.error_msg


def test_who_may_not_assume_it_is_told_the_same_as_about_an_agency_that_never_was(pair, build):
    stranger = BasicCredentials(*pair[0].add_key(pair[0].add_user()))
    answers = []
    for name in (build.name, "no-such-agency"):
        urn = f"iam::{build.server.account}:agency:{name}"
        with pytest.raises(ClientRequestException) as refused:
            body = sts.AssumeAgencyReqBody(agency_urn=urn, agency_session_name="s1")
            sdk.sts_client(build.server.base, stranger).assume_agency(sts.AssumeAgencyRequest(body=body))
        assert refused.value.status_code == 403
        # The explanation's id is made of what the caller knows, the name among it.
        answers.append(re.sub("explanation [0-9a-f]{16}", "ID", refused.value.error_msg.replace(name, "NAME")))
    assert answers[0] == answers[1]


def test_a_temporary_key_is_worth_nothing_without_its_own_signed_token(build):
    one, other = build.assume().credentials, build.assume().credentials
    server = build.server

    def status(token, signed=True):
        extra = [("X-Security-Token", token)] if token else []
        headers = signer.signed_headers(
            one.access_key_id, one.secret_access_key, "GET", PATH, server.base.split("//")[1], b"", extra=extra if signed else []
        )
        headers = headers if signed else [*headers, *extra]
        return send_raw(server.base, request_bytes("GET", PATH, headers)).status

    assert status(one.security_token) == 200
    for token, signed in ((None, True), ("x", True), (other.security_token, True), (one.security_token, False)):
        assert status(token, signed) == 401, token and token[:4]
    permanent = BasicCredentials(*build.key).with_security_token(one.security_token)
    assert is_refused(server, permanent)


def token_by_password(server):
    identity = iam.PwdIdentity(
        methods=["password"],
        password=iam.PwdPassword(
            user=iam.PwdPasswordUser(
                domain=iam.PwdPasswordUserDomain(name=server.user_name), name=server.user_name, password=server.password
            )
        ),
    )
    body = iam.KeystoneCreateUserTokenByPasswordRequestBody(auth=iam.PwdAuth(identity=identity))
    return sdk.iam_client_with_token(server.base).keystone_create_user_token_by_password(
        iam.KeystoneCreateUserTokenByPasswordRequest(body=body)
    )


def test_tokens_and_keys_of_every_method_come_from_each_other_and_end_together(pair, build):
    first, second = pair
    login = token_by_password(first)
    by_token = sdk.iam_client_with_token(first.base, login.x_subject_token)
    agency = by_token.keystone_create_agency_token(
        iam.KeystoneCreateAgencyTokenRequest(
            body=iam.KeystoneCreateAgencyTokenRequestBody(
                auth=iam.AgencyTokenAuth(
                    identity=iam.AgencyTokenIdentity(
                        methods=["assume_role"],
                        assume_role=iam.AgencyTokenAssumerole(domain_id=first.account, agency_name=build.name),
                    ),
                    scope=iam.AgencyTokenScope(project=iam.AgencyTokenScopeProject(name=first.project_name)),
                )
            )
        )
    )
    assert (agency.token.user.id, agency.token.user.name) == (build.agency, f"{first.user_name}/{build.name}")
    assert agency.token.assumed_by.user.id == first.root
    assert agency.token.methods == ["assume_role"] and agency.token.project.id == first.project
    assert agency.token.expires_at <= login.token.expires_at
    key = sdk.iam_client_with_token(first.base, agency.x_subject_token).create_temporary_access_key_by_token(
        iam.CreateTemporaryAccessKeyByTokenRequest(
            body=iam.CreateTemporaryAccessKeyByTokenRequestBody(
                auth=iam.TokenAuth(
                    identity=iam.TokenAuthIdentity(
                        methods=["token"], token=iam.IdentityToken(duration_seconds=86400)
                    )
                )
            )
        )
    ).credential
    assert key.expires_at <= agency.token.expires_at, "no longer than what it came from"
    own = by_token.create_temporary_access_key_by_agency(
        iam.CreateTemporaryAccessKeyByAgencyRequest(
            body=iam.CreateTemporaryAccessKeyByAgencyRequestBody(
                auth=iam.AgencyAuth(
                    identity=iam.AgencyAuthIdentity(
                        methods=["assume_role"],
                        assume_role=iam.IdentityAssumerole(
                            agency_name=build.name,
                            domain_name=first.user_name,
                            duration_seconds=900,
                            session_user=iam.AssumeroleSessionuser(name="SessionUser"),
                        ),
                    )
                )
            )
        )
    ).credential
    for server in pair:
        assert listed(server, sdk.temporary(key)).status_code == listed(server, sdk.temporary(own)).status_code == 200
    receipt = json.loads(
        first.do("revoke", "token", "--stdin", "-o", "json", text=login.x_subject_token + "\n")
    )
    assert receipt["ended"] == {
        "accessKeys": 0,
        "tokens": 2,
        "temporaryKeys": 2,
        "certificates": 0,
    }
    for credentials in (sdk.temporary(key), sdk.temporary(own)):
        assert is_refused(first, credentials)
        until(lambda c=credentials: is_refused(second, c), 1, "the other server refuses it", interval=0.005)


def test_a_token_is_narrowed_by_itself_and_shown_by_nobody_else(pair):
    server = pair[0]
    login = token_by_password(server)

    def create(identity, **scope):
        body = {"auth": {"identity": identity, **scope}}
        headers = [("Host", "localhost"), ("Content-Type", "application/json")]
        data = json.dumps(body).encode()
        return send_raw(server.base, request_bytes("POST", "/v3/auth/tokens?nocatalog=true", headers, data), "POST")

    narrow = create(
        {"methods": ["token"], "token": {"id": login.x_subject_token}},
        scope={"project": {"name": server.project_name}},
    )
    assert narrow.status == 201, narrow
    token = narrow.json()["token"]
    assert token["methods"] == ["password", "token"] and token["expires_at"] == login.token.expires_at
    pair_of_key = {"access": {"key": server.key_id}, "secret": {"key": server.secret}}
    by_key = create({"methods": ["hw_ak_sk"], "hw_ak_sk": pair_of_key})
    assert by_key.status == 201 and by_key.json()["token"]["methods"] == ["hw_ak_sk"], by_key
    wrong = {**pair_of_key, "secret": {"key": "wrong"}}
    assert create({"methods": ["hw_ak_sk"], "hw_ak_sk": wrong}).status == 401
    assert create({"methods": ["token"], "token": {"id": "x"}}).status == 401
