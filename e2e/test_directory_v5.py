"""The directory through the vendor's official identity client, in the newer shapes: pages, login profiles, trust."""

import json
import secrets

import huaweicloudsdkiam.v5 as iam
import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness import sdk
from harness.process import until

BOTH = ["sqlite", "postgres"]
GONE = "0123456789abcdef0123456789abcdef"
TRUST = {
    "Version": "5.0",
    "Statement": [
        {"Effect": "Allow", "Action": ["sts:agencies:assume"], "Principal": {"Service": ["service.cce.pods"]}}
    ],
}
pytestmark = pytest.mark.parametrize("bailiwick", BOTH, indirect=True)


@pytest.fixture
def client(bailiwick):
    return sdk.Unique(sdk.iam_v5_client(bailiwick.base, bailiwick.key_id, bailiwick.secret, bailiwick.account))


def unique(noun):
    return f"{noun}-{secrets.token_hex(4)}"


def refused(call, request, status):
    """Makes a call that must fail with `status`. Answers what the SDK says."""
    with pytest.raises(ClientRequestException) as caught:
        call(request)
    assert caught.value.status_code == status, caught.value
    assert caught.value.error_code and caught.value.error_msg
    return caught.value


def create_user(client, **options):
    body = iam.CreateUserReqBody(**{"name": unique("user"), "enabled": True, **options})
    return client.create_user_v5(iam.CreateUserV5Request(body=body)).user


def create_group(client, **options):
    body = iam.CreateGroupReqBody(**{"group_name": unique("group"), **options})
    return client.create_group_v5(iam.CreateGroupV5Request(body=body)).group


def create_agency(client, **options):
    options = {"agency_name": unique("agency"), "trust_policy": json.dumps(TRUST), **options}
    return client.create_agency_v5(iam.CreateAgencyV5Request(body=iam.CreateAgencyReqBody(**options)))


def pages(call, request, limit, **filters):
    """All pages of a list, each checked against what it says about itself."""
    marker, found = None, []
    while True:
        answer = call(request(limit=limit, marker=marker, **filters))
        yield answer
        found.append(answer)
        marker = answer.page_info.next_marker
        if not marker:
            return
        assert 4 <= len(marker) <= 400 and answer.page_info.current_count == limit


def test_a_user_lives_from_creation_to_deletion(bailiwick, client):
    made = create_user(client, description="builds")
    assert made.urn == f"iam::{bailiwick.account}:user:{made.user_name}"
    assert (made.is_root_user, made.enabled, made.description) == (False, True, "builds")
    body = iam.UpdateUserReqBody(new_user_name=made.user_name + "x", new_description="", enabled=False)
    changed = client.update_user_v5(iam.UpdateUserV5Request(user_id=made.user_id, body=body)).user
    assert (changed.user_name, changed.description, changed.enabled) == (made.user_name + "x", "", False)
    shown = client.show_user_v5(iam.ShowUserV5Request(user_id=made.user_id)).user
    assert (shown.user_name, shown.tags, shown.created_at) == (changed.user_name, [], made.created_at)
    root = client.show_user_v5(iam.ShowUserV5Request(user_id=bailiwick.root)).user
    assert root.is_root_user
    client.delete_user_v5(iam.DeleteUserV5Request(user_id=made.user_id))
    refused(client.delete_user_v5, iam.DeleteUserV5Request(user_id=made.user_id), 404)
    refused(client.show_user_v5, iam.ShowUserV5Request(user_id=made.user_id), 404)
    refused(client.delete_user_v5, iam.DeleteUserV5Request(user_id=bailiwick.root), 409)
    bad = iam.CreateUserV5Request(body=iam.CreateUserReqBody(name="9lives", enabled=True))
    assert "`name`" in refused(client.create_user_v5, bad, 400).error_msg


def test_pages_of_every_list_together_are_the_list(bailiwick, client):
    users = [create_user(client) for _ in range(5)]
    groups = [create_group(client) for _ in range(3)]
    agencies = [create_agency(client).agency for _ in range(3)]
    for user in users:
        add = iam.AddUserToGroupReqBody(user_id=user.user_id)
        client.add_user_to_group_v5(iam.AddUserToGroupV5Request(group_id=groups[0].group_id, body=add))
    ids = {user.user_id for user in users}
    for limit in (1, 2, 200):
        walked = [user for page in pages(client.list_users_v5, iam.ListUsersV5Request, limit) for user in page.users]
        assert ids <= {user.user_id for user in walked} and len(walked) == len({user.user_id for user in walked})
        inside = pages(client.list_users_v5, iam.ListUsersV5Request, limit, group_id=groups[0].group_id)
        assert [user.user_id for page in inside for user in page.users] == [user.user_id for user in users]
        found = [one for page in pages(client.list_groups_v5, iam.ListGroupsV5Request, limit) for one in page.groups]
        assert {one.group_id for one in groups} <= {one.group_id for one in found}
        found = [
            one for page in pages(client.list_agencies_v5, iam.ListAgenciesV5Request, limit) for one in page.agencies
        ]
        assert {one.agency_id for one in agencies} <= {one.agency_id for one in found}
    mine = client.list_groups_v5(iam.ListGroupsV5Request(user_id=users[0].user_id)).groups
    assert [group.group_id for group in mine] == [groups[0].group_id]
    owner = client.list_users_v5(iam.ListUsersV5Request(access_key_id=bailiwick.key_id)).users
    assert [user.user_id for user in owner] == [bailiwick.root]
    for wrong in ({"limit": 201}, {"limit": 0}, {"marker": "nonsense"}):
        refused(client.list_users_v5, iam.ListUsersV5Request(**wrong), 400)


def test_groups_and_membership(client):
    group, user = create_group(client, description="those who build"), create_user(client)
    change = iam.UpdateGroupReqBody(new_group_name=group.group_name + "s")
    changed = client.update_group_v5(iam.UpdateGroupV5Request(group_id=group.group_id, body=change)).group
    assert (changed.group_name, changed.description) == (group.group_name + "s", "those who build")
    assert client.show_group_v5(iam.ShowGroupV5Request(group_id=group.group_id)).group.urn == changed.urn
    add = iam.AddUserToGroupV5Request(group.group_id, iam.AddUserToGroupReqBody(user_id=user.user_id))
    remove = iam.RemoveUserFromGroupV5Request(group.group_id, iam.RemoveUserFromGroupReqBody(user_id=user.user_id))
    for _ in range(2):
        client.add_user_to_group_v5(add)
    client.remove_user_from_group_v5(remove)
    refused(client.remove_user_from_group_v5, remove, 404)
    unknown = iam.AddUserToGroupV5Request(group.group_id, iam.AddUserToGroupReqBody(user_id=GONE))
    refused(client.add_user_to_group_v5, unknown, 404)
    client.delete_group_v5(iam.DeleteGroupV5Request(group_id=group.group_id))
    refused(client.show_group_v5, iam.ShowGroupV5Request(group_id=group.group_id), 404)


def test_access_keys_belong_to_the_user_of_the_path(bailiwick, client):
    user, other = create_user(client), create_user(client)
    made = client.create_access_key_v5(iam.CreateAccessKeyV5Request(user_id=user.user_id)).access_key
    assert made.secret_access_key and made.status == "active"
    listed = client.list_access_keys_v5(iam.ListAccessKeysV5Request(user_id=user.user_id)).access_keys
    assert [key.access_key_id for key in listed] == [made.access_key_id]

    def last_used(owner=user.user_id):
        request = iam.ShowAccessKeyLastUsedV5Request(user_id=owner, access_key_id=made.access_key_id)
        return client.show_access_key_last_used_v5(request).access_key_last_used.last_used_at

    assert last_used() is None
    theirs = sdk.iam_v5_client(bailiwick.base, made.access_key_id, made.secret_access_key, bailiwick.account)
    refused(theirs.list_users_v5, iam.ListUsersV5Request(), 403)
    until(last_used, 5, "the use of the key is written")

    def update(owner, status):
        body = iam.UpdateAccessKeyReqBody(status=status)
        request = iam.UpdateAccessKeyV5Request(user_id=owner, access_key_id=made.access_key_id, body=body)
        return client.update_access_key_v5(request).access_key.status

    assert update(user.user_id, "inactive") == "inactive"
    refused(theirs.list_users_v5, iam.ListUsersV5Request(), 401)
    for call in (lambda _: update(other.user_id, "active"), lambda _: last_used(other.user_id)):
        refused(call, None, 404)
    wrong = iam.DeleteAccessKeyV5Request(user_id=other.user_id, access_key_id=made.access_key_id)
    refused(client.delete_access_key_v5, wrong, 404)
    right = iam.DeleteAccessKeyV5Request(user_id=user.user_id, access_key_id=made.access_key_id)
    client.delete_access_key_v5(right)
    refused(client.delete_access_key_v5, right, 404)


def test_a_login_profile_is_a_password(bailiwick, client):
    user = create_user(client)
    show = iam.ShowLoginProfileV5Request(user_id=user.user_id)
    refused(client.show_login_profile_v5, show, 404)
    option = iam.CreateLoginProfileReqBody(password="Correct-horse1", password_reset_required=False)
    create = iam.CreateLoginProfileV5Request(user_id=user.user_id, body=option)
    assert client.create_login_profile_v5(create).login_profile.user_id == user.user_id
    refused(client.create_login_profile_v5, create, 409)
    assert client.show_login_profile_v5(show).login_profile.created_at
    change = iam.UpdateLoginProfileReqBody(password="Other-horse2", password_reset_required=False)
    client.update_login_profile_v5(iam.UpdateLoginProfileV5Request(user_id=user.user_id, body=change))
    own = client.create_access_key_v5(iam.CreateAccessKeyV5Request(user_id=user.user_id)).access_key
    own_client = sdk.iam_v5_client(bailiwick.base, own.access_key_id, own.secret_access_key, bailiwick.account)
    theirs = sdk.Unique(own_client)
    wrong = iam.ChangePasswordReqBody(old_password="Correct-horse1", new_password="Third-horse3")
    refused(theirs.change_password_v5, iam.ChangePasswordV5Request(body=wrong), 401)
    right = iam.ChangePasswordReqBody(old_password="Other-horse2", new_password="Third-horse3")
    theirs.change_password_v5(iam.ChangePasswordV5Request(body=right))
    client.delete_login_profile_v5(iam.DeleteLoginProfileV5Request(user_id=user.user_id))
    refused(client.show_login_profile_v5, show, 404)


def test_an_agency_is_made_with_a_trust_policy_which_can_be_changed(bailiwick, client):
    made = create_agency(client, path="team/backup/", max_session_duration=7200, description="d" * 1000).agency
    assert made.urn == f"iam::{bailiwick.account}:agency:{made.agency_name}"
    assert json.loads(made.trust_policy) == TRUST and made.max_session_duration == 7200
    under = client.list_agencies_v5(iam.ListAgenciesV5Request(path_prefix="team/")).agencies
    assert made.agency_id in [agency.agency_id for agency in under]
    other = client.list_agencies_v5(iam.ListAgenciesV5Request(path_prefix="other/")).agencies
    assert made.agency_id not in [agency.agency_id for agency in other]

    body = iam.UpdateAgencyReqBody(max_session_duration=3600, description="short")
    client.update_agency_v5(iam.UpdateAgencyV5Request(agency_id=made.agency_id, body=body))
    trust = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Principal": {"IAM": [bailiwick.account]}}]}
    body = iam.UpdateTrustPolicyReqBody(trust_policy=json.dumps(trust))
    client.update_trust_policy_v5(iam.UpdateTrustPolicyV5Request(agency_id=made.agency_id, body=body))
    shown = client.get_agency_v5(iam.GetAgencyV5Request(agency_id=made.agency_id)).agency
    assert json.loads(shown.trust_policy) == trust and shown.path == "team/backup/"
    assert (shown.max_session_duration, shown.description) == (3600, "short")

    body = iam.UpdateTrustPolicyReqBody(trust_policy='{"Version": "5.0"}')
    request = iam.UpdateTrustPolicyV5Request(agency_id=made.agency_id, body=body)
    error = refused(client.update_trust_policy_v5, request, 400)
    assert "trust_policy" in error.error_msg and "Statement" in error.error_msg
    for options in ({"max_session_duration": 3599}, {"path": "/team"}, {"agency_name": "a b"}, {"trust_policy": "x"}):
        with pytest.raises(ClientRequestException) as caught:
            create_agency(client, **options)
        assert caught.value.status_code == 400 and next(iter(options)) in caught.value.error_msg

    client.delete_agency_v5(iam.DeleteAgencyV5Request(agency_id=made.agency_id))
    refused(client.delete_agency_v5, iam.DeleteAgencyV5Request(agency_id=made.agency_id), 404)
    refused(client.get_agency_v5, iam.GetAgencyV5Request(agency_id=made.agency_id), 404)
