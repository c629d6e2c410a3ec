"""Signing schemes, by the vendors' own SDKs against the real program."""

import pytest
from alibabacloud_tea_openapi.exceptions import ClientException
from huaweicloudsdkcce.v3 import CceClient
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_handler import HttpHandler
from huaweicloudsdkcore.region.region import Region

from harness import sdk
from harness.alibaba_sdk import clusters_client, sts_client
from harness.wire import request_bytes, send_raw


def derived_client(base, key, project, sent=None):
    """The first vendor's client, told to sign with a derived key. What it sends is noted in `sent`."""
    note = HttpHandler().add_request_handler(lambda **given: sent.append(given["request"]) if sent is not None else None)
    credentials = BasicCredentials(*key, project).with_derived_predicate(lambda request: True)
    credentials._derived_auth_service_name = "cce"  # pylint: disable=protected-access
    builder = CceClient.new_builder().with_http_config(sdk._config()).with_credentials(credentials).with_http_handler(note)
    return sdk.AccessPolicies(builder.with_region(Region("region-1", base)).build())


def test_a_request_signed_with_a_derived_key_is_let_in(bailiwick):
    key = (bailiwick.key_id, bailiwick.secret)
    sent = []
    policies = derived_client(bailiwick.base, key, bailiwick.project, sent)
    made = policies.create(ids=[bailiwick.root]).policy_id
    assert made in policies.ids()
    policies.delete(made)
    assert made not in policies.ids()
    assert {request.header_params["Authorization"].split(" ")[0] for request in sent} == {"V11-HMAC-SHA256"}
    with pytest.raises(ClientRequestException) as caught:
        derived_client(bailiwick.base, (bailiwick.key_id, "wrong"), bailiwick.project).list()
    assert (caught.value.status_code, caught.value.error_code) == (401, "APIGW.0301")


@pytest.mark.parametrize("scheme", [None, "v2"])
def test_the_second_vendors_sdk_learns_who_is_calling(bailiwick, scheme):
    options = {"signature_algorithm": scheme} if scheme else {}
    root = sts_client(bailiwick.base, (bailiwick.key_id, bailiwick.secret), **options).get_caller_identity()
    assert root.status_code == 200
    body = root.body
    assert (body.identity_type, body.account_id, body.user_id) == ("Account", bailiwick.account, bailiwick.root)
    assert body.arn == f"acs:ram::{bailiwick.account}:root"
    assert root.headers["x-acs-request-id"] == body.request_id

    user = bailiwick.add_user()
    mine = sts_client(bailiwick.base, bailiwick.add_key(user), **options).get_caller_identity().body
    assert (mine.identity_type, mine.user_id, mine.principal_id) == ("RAMUser", user, user)


@pytest.mark.parametrize("scheme", [None, "v2"])
def test_the_second_vendors_sdk_reads_why_it_is_refused(bailiwick, scheme):
    options = {"signature_algorithm": scheme} if scheme else {}
    for key, status, code in (
        ((bailiwick.key_id, "wrong"), 400, "SignatureDoesNotMatch"),
        (("LTAIUNKNOWN", "wrong"), 404, "InvalidAccessKeyId.NotFound"),
    ):
        with pytest.raises(ClientException) as caught:
            sts_client(bailiwick.base, key, **options).get_caller_identity()
        assert (caught.value.status_code, caught.value.code) == (status, code)
        assert caught.value.request_id
    with pytest.raises(ClientException) as caught:
        key = (bailiwick.key_id, bailiwick.secret)
        sts_client(bailiwick.base, key, security_token="x", **options).get_caller_identity()
    assert caught.value.code == "InvalidSecurityToken.MismatchWithAccessKey"


def test_the_second_vendors_sdk_reads_that_an_operation_is_not_served(bailiwick):
    client = clusters_client(bailiwick.base, (bailiwick.key_id, bailiwick.secret))
    with pytest.raises(ClientException) as caught:
        client.describe_task_info("none")
    assert (caught.value.status_code, caught.value.code) == (404, "InvalidAction.NotFound")
    assert caught.value.request_id


def test_other_signatures_of_the_second_vendor_are_refused_in_words(bailiwick):
    with pytest.raises(ClientException) as caught:
        sts_client(
            bailiwick.base, (bailiwick.key_id, bailiwick.secret), signature_algorithm="ACS3-HMAC-SM3"
        ).get_caller_identity()
    assert caught.value.code == "InvalidSignatureMethod"
    headers = [
        ("Host", "localhost"),
        ("x-acs-version", "2015-04-01"),
        ("x-acs-action", "GetCallerIdentity"),
        ("x-acs-bearer-token", "t"),
        ("x-acs-signature-type", "BEARERTOKEN"),
    ]
    answer = send_raw(bailiwick.base, request_bytes("POST", "/", headers), "POST")
    assert (answer.status, answer.json()["Code"]) == (400, "InvalidSignatureMethod")
    assert "bearer" in answer.json()["Message"]


def test_check_config_shows_whether_unprotected_bodies_are_allowed(bailiwick):
    shown = bailiwick.run("check-config", "--data-dir", bailiwick.data)
    assert "alibaba.allow_unprotected_body" in shown.stdout
    allowed = bailiwick.run(
        "check-config", "--data-dir", bailiwick.data, env={"BAILIWICK_ALIBABA_ALLOW_UNPROTECTED_BODY": "true"}
    )
    line = next(line for line in allowed.stdout.splitlines() if "alibaba.allow_unprotected_body" in line)
    assert "yes" in line and "BAILIWICK_ALIBABA_ALLOW_UNPROTECTED_BODY" in line
    wrong = bailiwick.run(
        "check-config", "--data-dir", bailiwick.data, env={"BAILIWICK_ALIBABA_ALLOW_UNPROTECTED_BODY": "perhaps"}
    )
    assert wrong.returncode == 1 and "allow_unprotected_body" in wrong.stdout + wrong.stderr
