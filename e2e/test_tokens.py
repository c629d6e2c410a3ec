"""Passwords for tokens, what a token opens, and what the SDK asks for by itself."""

import json
import secrets
import time

import huaweicloudsdkcce.v3 as cce
import huaweicloudsdkiam.v3 as iam
import pytest

from harness import sdk
from harness.wire import request_bytes, send_raw

PATH = "/api/v3/access-policies"
TOKENS = "/v3/auth/tokens"


@pytest.fixture(scope="module")
def client(bailiwick):
    return bailiwick.client()


def body_for(user):
    policy = {
        "name": "auth",
        "clusters": ["*"],
        "accessScope": {"namespaces": ["*"]},
        "policyType": "CCEViewPolicy",
        "principal": {"type": "user", "ids": [user]},
    }
    return json.dumps(policy).encode()


def password_request(server, scope=None):
    identity = iam.PwdIdentity(
        methods=["password"],
        password=iam.PwdPassword(
            user=iam.PwdPasswordUser(
                domain=iam.PwdPasswordUserDomain(name=server.user_name),
                name=server.user_name,
                password=server.password,
            )
        ),
    )
    body = iam.KeystoneCreateUserTokenByPasswordRequestBody(auth=iam.PwdAuth(identity=identity, scope=scope))
    return iam.KeystoneCreateUserTokenByPasswordRequest(body=body)


def login(server, **options):
    """A token by password, through the official SDK."""
    return sdk.iam_client_with_token(server.base).keystone_create_user_token_by_password(
        password_request(server, **options)
    )


def token_headers(token, *more):
    return [("Host", "localhost"), ("X-Auth-Token", token), ("Content-Type", "application/json"), *more]


def test_the_sdk_logs_in_by_password_and_the_token_opens_every_dialect(bailiwick):
    answer = login(bailiwick, scope=iam.AuthScope(project=iam.AuthScopeProject(name=bailiwick.project_name)))
    token = answer.token
    assert answer.x_subject_token
    assert answer.status_code == 201
    assert token.methods == ["password"]
    assert (token.user.id, token.user.name, token.user.domain.id) == (
        bailiwick.root,
        bailiwick.user_name,
        bailiwick.account,
    )
    assert (token.project.id, token.project.name) == (bailiwick.project, bailiwick.project_name)
    assert token.issued_at.endswith("Z")
    assert token.expires_at.endswith("Z")
    for path in (PATH, "/v3/projects", "/v3/auth/projects", "/v3/auth/domains", "/bailiwick/v1/users"):
        answered = send_raw(bailiwick.base, request_bytes("GET", path, token_headers(answer.x_subject_token)))
        assert answered.status == 200, answered
    bearer = [("Host", "localhost"), ("Authorization", f"Bearer {answer.x_subject_token}")]
    assert send_raw(bailiwick.base, request_bytes("GET", "/bailiwick/v1/users", bearer)).status == 200


@pytest.mark.parametrize("scope", ["project id", "project name", "domain id", "domain name", "none"])
def test_a_token_may_be_for_a_project_or_for_the_account(bailiwick, scope):
    wanted = {
        "project id": iam.AuthScope(project=iam.AuthScopeProject(id=bailiwick.project)),
        "project name": iam.AuthScope(project=iam.AuthScopeProject(name=bailiwick.project_name)),
        "domain id": iam.AuthScope(domain=iam.AuthScopeDomain(id=bailiwick.account)),
        "domain name": iam.AuthScope(domain=iam.AuthScopeDomain(name=bailiwick.user_name)),
        "none": None,
    }[scope]
    token = login(bailiwick, scope=wanted).token
    if scope.startswith("project"):
        assert token.project.id == bailiwick.project
        assert token.domain is None
    else:
        assert token.domain.id == bailiwick.account
        assert token.project is None


def test_a_token_is_examined_and_ended(bailiwick):
    caller, subject = (login(bailiwick).x_subject_token for _ in range(2))
    sdk_client = sdk.iam_client_with_token(bailiwick.base, caller)
    shown = sdk_client.keystone_validate_token(iam.KeystoneValidateTokenRequest(x_subject_token=subject))
    assert shown.status_code == 200
    assert shown.token.user.id == bailiwick.root

    def ask(method):
        headers = token_headers(caller, ("X-Subject-Token", subject))
        return send_raw(bailiwick.base, request_bytes(method, TOKENS, headers), method)

    head = ask("HEAD")
    assert head.status == 200
    assert head.body == b""
    assert ask("DELETE").status == 204
    assert ask("HEAD").status == 404
    assert ask("GET").status == 404
    used = send_raw(bailiwick.base, request_bytes("GET", PATH, token_headers(subject)))
    assert used.status == 401
    assert used.json()["error_code"] == "APIGW.0301"
    assert send_raw(bailiwick.base, request_bytes("GET", PATH, token_headers(caller))).status == 200


def test_a_failed_login_does_not_say_what_was_wrong(bailiwick):
    right, said = (bailiwick.user_name, bailiwick.password, bailiwick.user_name), []
    for wrong in (0, 1, 2):
        given = ["nobody-at-all" if place == wrong else value for place, value in enumerate(right)]
        name, password, account = given
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": name, "password": password, "domain": {"name": account}}},
                }
            }
        }
        headers = [("Host", "localhost"), ("Content-Type", "application/json;charset=utf-8")]
        begin = time.monotonic()
        answer = send_raw(bailiwick.base, request_bytes("POST", TOKENS, headers, json.dumps(body).encode()), "POST")
        assert time.monotonic() - begin > 0.005, "an unknown name must cost as much time as a wrong password"
        assert answer.status == 401 and answer.json()["error"]["code"] == 401, answer
        assert "X-Subject-Token" not in answer.headers
        said.append({key: value for key, value in answer.json().items() if key != "request_id"})
    assert said[0] == said[1] == said[2]


@pytest.mark.parametrize("token", ["x", "MIIT" + "A" * 400, " ", "ä"])
def test_a_token_that_never_was_is_refused(bailiwick, token):
    answer = send_raw(bailiwick.base, request_bytes("GET", PATH, token_headers(token)))
    assert answer.status in (400, 401) and answer.json()["error_code"], answer


def test_one_request_carries_one_credential(bailiwick, client):
    user = bailiwick.add_user()
    token = login(bailiwick).x_subject_token
    wrong = bailiwick.client((bailiwick.key_id, "wrong"))
    for one in (client, wrong):
        for given in (token, "x"):
            answer = one.raw("POST", PATH, body_for(user), extra=[("X-Auth-Token", given)])
            assert answer.status in (400, 401), answer
    both = [*token_headers(token), ("Authorization", f"Bearer {token}")]
    assert send_raw(bailiwick.base, request_bytes("GET", "/bailiwick/v1/users", both)).status in (400, 401)


def test_changing_the_password_ends_the_old_tokens(bailiwick, client):
    name = f"login-{secrets.token_hex(4)}"
    created = client.call("POST", "/bailiwick/v1/users", {"name": name, "password": "Old-password-1"}, status=201)["id"]
    client.call("PUT", f"/bailiwick/v1/groups/administrators/members/{created}", status=204)
    body = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {"name": name, "password": "Old-password-1", "domain": {"name": bailiwick.user_name}}
                },
            }
        }
    }
    headers = [("Host", "localhost"), ("Content-Type", "application/json")]
    answer = send_raw(bailiwick.base, request_bytes("POST", TOKENS, headers, json.dumps(body).encode()), "POST")
    token = answer.headers["X-Subject-Token"]
    assert send_raw(bailiwick.base, request_bytes("GET", PATH, token_headers(token))).status == 200
    client.call("PUT", f"/bailiwick/v1/users/{created}/password", {"password": "New-password-2"}, status=204)
    assert send_raw(bailiwick.base, request_bytes("GET", PATH, token_headers(token))).status == 401
    assert (
        send_raw(bailiwick.base, request_bytes("POST", TOKENS, headers, json.dumps(body).encode()), "POST").status
        == 401
    )


# --- what the SDK does by itself --------------------------------------------------------------------------------


def test_the_sdk_finds_the_project_by_the_regions_name(bailiwick):
    found = sdk.cce_client_by_region(bailiwick.base, bailiwick.key_id, bailiwick.secret, bailiwick.project_name)
    assert found.list_access_policy(cce.ListAccessPolicyRequest()).status_code == 200
    assert found.list_clusters(cce.ListClustersRequest()).status_code == 200


def test_the_sdk_works_without_any_project(bailiwick):
    client = sdk.cce_client(bailiwick.base, bailiwick.key_id, bailiwick.secret)
    assert client.list_access_policy(cce.ListAccessPolicyRequest()).status_code == 200


def test_the_sdk_lists_projects_and_accounts(bailiwick):
    client = sdk.iam_client(bailiwick.base, bailiwick.key_id, bailiwick.secret, bailiwick.account)
    [project] = [
        one
        for one in client.keystone_list_auth_projects(iam.KeystoneListAuthProjectsRequest()).projects
        if one.id == bailiwick.project
    ]
    assert (project.name, project.domain_id, project.enabled) == (bailiwick.project_name, bailiwick.account, True)
    [domain] = client.keystone_list_auth_domains(iam.KeystoneListAuthDomainsRequest()).domains
    assert (domain.id, domain.name) == (bailiwick.account, bailiwick.user_name)
    by_name = client.keystone_list_projects(iam.KeystoneListProjectsRequest(name=bailiwick.project_name)).projects
    assert [one.id for one in by_name] == [bailiwick.project]
    assert client.keystone_list_projects(iam.KeystoneListProjectsRequest(name="nowhere")).projects == []


def test_the_sdk_finds_the_account(bailiwick):
    found = sdk.iam_client_by_region(bailiwick.base, bailiwick.key_id, bailiwick.secret, bailiwick.project_name)
    assert found.keystone_list_auth_projects(iam.KeystoneListAuthProjectsRequest()).status_code == 200
