"""Every operation of every dialect, called by nobody and by somebody without rights. What is let through is listed in
`exemptions/`, and the lists may only shrink."""

import pathlib
import secrets

import huaweicloudsdkiam.v5 as iam
import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness import acs3, wire
from harness.operations import make_things, operations, requests
from harness.sdk import iam_v5_client

EXEMPTIONS = pathlib.Path(__file__).parent / "exemptions"

OPERATIONS = operations()


@pytest.fixture(scope="module")
def things(bailiwick):
    return make_things(bailiwick.client(), f"Pw-{secrets.token_hex(12)}")


@pytest.fixture(scope="module")
def nobody(bailiwick):
    """Somebody who holds nothing, and whom none of the things is about: (signing client, token)."""
    theirs = make_things(bailiwick.client(), f"Pw-{secrets.token_hex(12)}")
    return bailiwick.client((theirs["key"], theirs["secret"])), theirs["token"]


def listed(name):
    lines = (EXEMPTIONS / name).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def compare(found, name):
    """What was let through, with the answer, is what the file lists. A longer list is a decision that somebody has to
    defend."""
    grown = {operation: answer for operation, answer in found.items() if operation not in listed(name)}
    assert not grown, f"let through, and not in exemptions/{name}"
    assert not listed(name) - set(found), f"refused by now: take it out of exemptions/{name}"


def is_refusal(operation, answer, status):
    """Whether the answer is that refusal, in words that a client of the dialect can read."""
    if operation.dialect == "alibaba":
        # This vendor answers 400 to who shows nothing.
        codes = {401: ["MissingAccessKeyId"], 403: ["NoPermission", "StatusForbidden"]}[status]
        return 400 <= answer.status < 500 and answer.json()["Code"] in codes and answer.json()["Message"]
    if answer.status != status:
        return False
    assert answer.headers["X-Request-Id"], operation
    if operation.method == "HEAD":
        return True
    assert answer.headers["Content-Type"].startswith("application/json"), operation
    body = answer.json()
    if operation.dialect == "native":
        assert body["error"]["code"] == {401: "unauthenticated", 403: "forbidden"}[status], (operation, body)
        assert body["error"]["message"], operation
    else:
        assert body["error_code"] == body["errorCode"] and body["error_msg"] == body["errorMessage"], operation
        assert body["error_code"] and body["error_msg"], (operation, body)
    return True


def test_the_list_of_operations_is_the_servers_own(bailiwick):
    document = bailiwick.client().call("GET", "/bailiwick/v1/openapi.json")
    served = {
        (method.upper(), path, operation.get("x-bailiwick-action"))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    native = {(one.method, one.path, one.action) for one in OPERATIONS if one.dialect == "native"}
    assert native == served
    assert {one.dialect for one in OPERATIONS} > {"native"}


def test_without_a_credential_every_operation_answers_401_in_its_dialect(bailiwick, things):
    found = {}
    for operation in OPERATIONS:
        for request in requests(operation, things):
            answer = wire.send_unsigned(bailiwick.base, request.method, request.target, request.body, request.extra)
            if not is_refusal(operation, answer, 401):
                found[operation.name] = answer
    compare(found, "without-credentials.txt")


def called_by(bailiwick, operation, request, person, token):
    """What somebody is answered by each credential that the operation's dialect knows."""
    if operation.dialect == "alibaba":
        key = (person.key_id, person.secret)
        return [acs3.send(bailiwick.base, key, request.method, request.target, request.body)]
    signed = person.request(request.method, request.target, request.body, extra=request.extra)
    extra = [("X-Auth-Token", token), *request.extra]
    return [signed, wire.send_unsigned(bailiwick.base, request.method, request.target, request.body, extra)]


def test_without_rights_every_operation_answers_403_in_its_dialect(bailiwick, things, nobody):
    person, token = nobody
    found = {}
    for operation in OPERATIONS:
        for request in requests(operation, things):
            answers = [
                answer
                for answer in called_by(bailiwick, operation, request, person, token)
                if not is_refusal(operation, answer, 403)
            ]
            if answers:
                found[operation.name] = answers
    compare(found, "without-rights.txt")


def test_the_sdk_reads_the_authorization_schemas(bailiwick):
    client = iam_v5_client(bailiwick.base, bailiwick.key_id, bailiwick.secret, bailiwick.account)
    codes = client.list_registered_services_for_auth_schema_v5(
        iam.ListRegisteredServicesForAuthSchemaV5Request()
    ).service_codes
    assert {"bailiwick", "cce", "iam"} <= set(codes)
    paged, marker = [], None
    while True:
        page = client.list_registered_services_for_auth_schema_v5(
            iam.ListRegisteredServicesForAuthSchemaV5Request(limit=1, marker=marker)
        )
        paged += page.service_codes
        marker = page.page_info.next_marker
        if not marker:
            break
    assert paged == codes

    schema = client.get_authorization_schema_v5(iam.GetAuthorizationSchemaV5Request(service_code="cce"))
    actions = {action.name: action for action in schema.actions}
    assert actions["cce:accessPolicy:list"].access_level == "read"
    assert actions["cce:accessPolicy:list"].resources == []
    shown = actions["cce:cluster:getCluster"]
    assert shown.aliases == ["cce:cluster:get"]
    assert [one.urn_template for one in shown.resources] == ["cce:<region>:<account-id>:cluster:<cluster-id>"]
    assert shown.resources[0].required is True
    assert set(shown.resources[0].condition_keys) == {"g:EnterpriseProjectId", "g:ResourceTag/<tag-key>"}
    assert [(one.type_name, one.urn_template) for one in schema.resources] == [
        ("cluster", "cce:<region>:<account-id>:cluster:<cluster-id>"),
        (
            "podidentityassociation",
            "cce:<region>:<account-id>:podidentityassociation:<podidentityassociation-id>",
        ),
    ]
    assert {one.key: one.value_type for one in schema.conditions}["g:EnterpriseProjectId"] == "string"
    asked = {one.operation_id: one.operation_action for one in schema.operations}
    assert asked["CreateAccessPolicy"] == "cce:accessPolicy:post"
    assert asked["UpdateAccessPolicy"] == "cce:accessPolicy:put"
    with pytest.raises(ClientRequestException) as caught:
        client.get_authorization_schema_v5(iam.GetAuthorizationSchemaV5Request(service_code="nothing"))
    assert caught.value.status_code == 404
    assert caught.value.error_code


def test_the_schemas_and_the_document_say_the_same(bailiwick):
    """What a policy's author reads by the SDK is what `docs/actions.md` says."""
    client = bailiwick.client()
    root = "/v5/authorization-schemas"
    codes = client.call("GET", f"{root}/registered-services")["service_codes"]
    served = set()
    for code in codes:
        served |= {one["name"] for one in client.call("GET", f"{root}/services/{code}")["actions"]}
    assert served == {one.action for one in OPERATIONS if one.action}
