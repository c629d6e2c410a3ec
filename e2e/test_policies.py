"""Identity policies as people manage them: by the command line, the official identity client and our own API."""

import json
import secrets

import huaweicloudsdkiam.v5 as iam
import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness.process import until
from harness.sdk import iam_v5_client

ALLOW_LIST = {
    "Version": "5.0",
    "Statement": [{"Sid": "Look", "Effect": "Allow", "Action": ["cce:accessPolicy:list"], "Resource": ["*"]}],
}


def document(*actions, effect="Allow", resource=("*",), **condition):
    statement = {"Effect": effect, "Action": list(actions), "Resource": list(resource)}
    if condition:
        statement["Condition"] = condition
    return {"Version": "5.0", "Statement": [statement]}


def name():
    return f"policy-{secrets.token_hex(4)}"


def attach(server, statements, *holder):
    """A new policy, held. Answers its name."""
    policy = name()
    server.do("policy", "create", policy, "--document", "-", text=json.dumps(statements))
    server.do("policy", "attach", policy, *holder)
    return policy


@pytest.fixture(scope="module")
def sdk(bailiwick):
    return iam_v5_client(bailiwick.base, bailiwick.key_id, bailiwick.secret, bailiwick.account)


def test_who_may_only_list_lists_and_cannot_create(bailiwick):
    user = bailiwick.add_user()
    policies = bailiwick.policies(bailiwick.add_key(user))
    attach(bailiwick, ALLOW_LIST, "--user", user)
    assert policies.list().status_code == 200
    with pytest.raises(ClientRequestException) as caught:
        policies.create(ids=[user])
    assert (caught.value.status_code, caught.value.error_code) == (403, "CCE.01403001")
    assert "`cce:accessPolicy:post`" in caught.value.error_msg
    assert caught.value.encoded_auth_msg
    assert "Look" not in caught.value.error_msg


def test_a_deny_in_a_group_beats_an_allow_on_the_user_under_any_name(bailiwick):
    user = bailiwick.add_user()
    policies = bailiwick.policies(bailiwick.add_key(user))
    attach(bailiwick, document("cce:accessPolicy:*"), "--user", user)
    assert policies.list().status_code == 200
    for action in ("cce:accessPolicy:list", "bailiwick:grant:list"):
        group = bailiwick.add_group(user)
        denying = attach(bailiwick, document(action, effect="Deny"), "--group", group)
        with pytest.raises(ClientRequestException) as caught:
            policies.list()
        assert caught.value.status_code == 403, action
        bailiwick.do("policy", "detach", denying, "--group", group)
        assert policies.list().status_code == 200


def test_a_refusal_leads_an_administrator_to_its_reasons_and_nobody_else(bailiwick):
    user = bailiwick.add_user()
    key = bailiwick.add_key(user)
    denying = attach(bailiwick, document("bailiwick:cluster:*", effect="Deny"), "--user", user)
    refused = bailiwick.run("cluster", "list", key=key)
    assert refused.returncode == 1
    assert denying not in refused.stderr
    told = bailiwick.client(key).request("GET", "/bailiwick/v1/clusters").json()["error"]
    assert told["action"] == "bailiwick:cluster:list"
    assert f"bailiwick audit list --explanation {told['explanation']}" in refused.stderr

    def found():
        events = bailiwick.cli("audit", "list", "--explanation", told["explanation"])["items"]
        assert events
        return events

    event = until(found, 10, "the refusal is in the audit")[0]
    assert event["action"] == "bailiwick:cluster:list" and event["outcome"] == "refused"
    assert denying in event["explanation"]["reasons"]
    assert denying in bailiwick.do("audit", "list", "--explanation", told["explanation"])
    assert bailiwick.run("audit", "list", "--explanation", told["explanation"], key=key).returncode == 1


def test_sealed_reasons_are_opened_by_whoever_may(bailiwick):
    user = bailiwick.add_user()
    key = bailiwick.add_key(user)
    denying = attach(bailiwick, document("cce:*", effect="Deny"), "--user", user)
    with pytest.raises(ClientRequestException) as caught:
        bailiwick.policies(key).list()
    sealed = {"encoded_message": caught.value.encoded_auth_msg}
    opened = bailiwick.client().call("POST", "/v5/decode-authorization-message", sealed)
    message = json.loads(opened["decoded_message"])
    assert denying in message["reasons"] and message["principal"]["id"] == user
    refused = bailiwick.client(key).request("POST", "/v5/decode-authorization-message", sealed)
    assert refused.status == 403


def test_the_command_line_manages_policies_and_asks_them(bailiwick):
    user, policy = bailiwick.add_user(), name()
    file = bailiwick.folder / "policy.json"
    file.write_text(json.dumps(ALLOW_LIST), encoding="utf-8")
    made = bailiwick.cli("policy", "create", policy, "--document", file, "--description", "to look")
    assert made["name"] == policy and made["origin"] == "own" and made["defaultVersion"] == 1
    assert bailiwick.cli("policy", "show", policy)["document"] == ALLOW_LIST
    bailiwick.do("policy", "attach", policy, "--user", user, "--project", bailiwick.project)
    bailiwick.do("policy", "attach", policy, "--user", user)
    held = bailiwick.cli("policy", "list", "--user", user)["items"]
    assert [(one["name"], one["scope"]["type"]) for one in held] == [(policy, "project"), (policy, "account")]
    holders = bailiwick.cli("policy", "holders", policy)["items"]
    assert {one["id"] for one in holders} == {user} and len(holders) == 2
    asked = bailiwick.cli("policy", "test", "--user", user, "--action", "cce:accessPolicy:list", "--resource", "*")
    assert asked["allowed"] is True
    assert {one["sid"] for one in asked["statements"]} == {"Look"}
    refused = bailiwick.cli("policy", "test", "--user", user, "--action", "cce:accessPolicy:post")
    assert refused["allowed"] is False and refused["effect"] == "default-deny"
    own = bailiwick.cli("policy", "test", "--action", "cce:accessPolicy:list", key=bailiwick.add_key(user))
    assert own["allowed"] is True and own["principal"]["id"] == user
    kept = bailiwick.run("policy", "delete", policy)
    assert kept.returncode == 1 and user in kept.stderr or "attached to user" in kept.stderr
    bailiwick.do("policy", "detach", policy, "--user", user)
    bailiwick.do("policy", "detach", policy, "--user", user, "--project", bailiwick.project)
    bailiwick.do("policy", "delete", policy)
    assert policy not in bailiwick.do("policy", "list", "--own")
    assert "CCE ReadOnlyAccess" in bailiwick.do("policy", "list")
    wrong = bailiwick.run("policy", "create", name(), "--document", "-", text='{"Version":"5.0","Statement":[{}]}')
    assert wrong.returncode == 1 and "`document.Statement[0]" in wrong.stderr


def test_the_identity_client_manages_policies_and_versions(bailiwick, sdk):
    policy = name()
    body = iam.CreatePolicyReqBody(policy_name=policy, policy_document=json.dumps(ALLOW_LIST), description="d")
    made = sdk.create_policy_v5(iam.CreatePolicyV5Request(body=body)).policy
    assert (made.policy_type, made.policy_name, made.default_version_id) == ("custom", policy, "v1")
    assert made.urn == f"iam::{bailiwick.account}:policy:{policy}"
    shown = sdk.get_policy_v5(iam.GetPolicyV5Request(policy_id=made.policy_id)).policy
    assert shown.description == "d"
    second = iam.CreatePolicyVersionReqBody(policy_document=json.dumps(document("cce:*:get*")), set_as_default=False)
    added = sdk.create_policy_version_v5(iam.CreatePolicyVersionV5Request(policy_id=made.policy_id, body=second))
    assert (added.policy_version.version_id, added.policy_version.is_default) == ("v2", False)
    sdk.set_default_policy_version_v5(
        iam.SetDefaultPolicyVersionV5Request(policy_id=made.policy_id, version_id="v2")
    )
    versions = sdk.list_policy_versions_v5(iam.ListPolicyVersionsV5Request(policy_id=made.policy_id)).versions
    assert [(one.version_id, one.is_default) for one in versions] == [("v2", True), ("v1", False)]
    first = sdk.get_policy_version_v5(iam.GetPolicyVersionV5Request(policy_id=made.policy_id, version_id="v1"))
    assert json.loads(first.policy_version.document) == ALLOW_LIST
    sdk.delete_policy_version_v5(iam.DeletePolicyVersionV5Request(policy_id=made.policy_id, version_id="v1"))
    update = iam.UpdatePolicyReqBody(description="other")
    sdk.update_policy_v5(iam.UpdatePolicyV5Request(policy_id=made.policy_id, body=update))
    assert sdk.get_policy_v5(iam.GetPolicyV5Request(policy_id=made.policy_id)).policy.description == "other"
    sdk.delete_policy_v5(iam.DeletePolicyV5Request(policy_id=made.policy_id))
    with pytest.raises(ClientRequestException) as caught:
        sdk.get_policy_v5(iam.GetPolicyV5Request(policy_id=made.policy_id))
    assert caught.value.status_code == 404


def test_the_identity_client_attaches_and_lists(bailiwick, sdk):
    user, group, agency = bailiwick.add_user(), bailiwick.add_group(), bailiwick.add_agency()
    body = iam.CreatePolicyReqBody(policy_name=name(), policy_document=json.dumps(ALLOW_LIST))
    policy = sdk.create_policy_v5(iam.CreatePolicyV5Request(body=body)).policy.policy_id
    sdk.attach_user_policy_v5(
        iam.AttachUserPolicyV5Request(policy_id=policy, body=iam.AttachUserPolicyReqBody(user_id=user))
    )
    bailiwick.do("policy", "attach", policy, "--user", user)
    sdk.attach_group_policy_v5(
        iam.AttachGroupPolicyV5Request(policy_id=policy, body=iam.AttachGroupPolicyReqBody(group_id=group))
    )
    sdk.attach_agency_policy_v5(
        iam.AttachAgencyPolicyV5Request(policy_id=policy, body=iam.AttachAgencyPolicyReqBody(agency_id=agency))
    )
    entities = sdk.list_entities_for_policy_v5(iam.ListEntitiesForPolicyV5Request(policy_id=policy))
    assert [one.user_id for one in entities.policy_users] == [user]
    assert [one.group_id for one in entities.policy_groups] == [group]
    assert [one.agency_id for one in entities.policy_agencies] == [agency]
    assert entities.page_info.current_count == 3
    of_user = sdk.list_attached_user_policies_v5(iam.ListAttachedUserPoliciesV5Request(user_id=user))
    assert [one.policy_id for one in of_user.attached_policies] == [policy]
    of_group = sdk.list_attached_group_policies_v5(iam.ListAttachedGroupPoliciesV5Request(group_id=group))
    assert [one.policy_id for one in of_group.attached_policies] == [policy]
    with pytest.raises(ClientRequestException) as caught:
        sdk.delete_policy_v5(iam.DeletePolicyV5Request(policy_id=policy))
    assert caught.value.status_code == 409
    sdk.detach_user_policy_v5(
        iam.DetachUserPolicyV5Request(policy_id=policy, body=iam.DetachUserPolicyReqBody(user_id=user))
    )
    of_user = sdk.list_attached_user_policies_v5(iam.ListAttachedUserPoliciesV5Request(user_id=user))
    assert of_user.attached_policies == []


def test_the_identity_client_reads_policies_page_by_page(sdk):
    every, marker = [], None
    while True:
        page = sdk.list_policies_v5(iam.ListPoliciesV5Request(limit=3, marker=marker))
        assert page.page_info.current_count == len(page.policies) <= 3
        every += [one.policy_name for one in page.policies]
        marker = page.page_info.next_marker
        if not marker:
            break
    assert len(every) == len(set(every)) and {"CCE FullAccess", "Tenant Guest"} <= set(every)
    system = sdk.list_policies_v5(iam.ListPoliciesV5Request(policy_type="system")).policies
    assert {one.policy_type for one in system} == {"system"}
    custom = sdk.list_policies_v5(iam.ListPoliciesV5Request(policy_type="custom")).policies
    assert {one.policy_name for one in custom + system} == set(every)
