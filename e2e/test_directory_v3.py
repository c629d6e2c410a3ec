"""Users, groups, agencies and permanent keys through the vendor's official identity client, in the older shapes."""

import secrets

import huaweicloudsdkiam.v3 as iam
import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness import sdk
from harness.process import until

BOTH = ["sqlite", "postgres"]
GONE = "0123456789abcdef0123456789abcdef"
pytestmark = pytest.mark.parametrize("bailiwick", BOTH, indirect=True)


@pytest.fixture
def client(bailiwick):
    return sdk.Unique(sdk.iam_client(bailiwick.base, bailiwick.key_id, bailiwick.secret, bailiwick.account))


def unique(noun):
    return f"{noun}-{secrets.token_hex(4)}"


def refused(call, request, status):
    """Makes a call that must fail with `status`, in a body that the SDK can read. Answers what the SDK says."""
    with pytest.raises(ClientRequestException) as caught:
        call(request)
    assert caught.value.status_code == status, caught.value
    return caught.value


def create_user(client, **options):
    options = {"name": unique("user"), **options}
    body = iam.KeystoneCreateUserRequestBody(user=iam.KeystoneCreateUserOption(**options))
    return client.keystone_create_user(iam.KeystoneCreateUserRequest(body=body)).user


def create_group(client, **options):
    options = {"name": unique("group"), **options}
    body = iam.KeystoneCreateGroupRequestBody(group=iam.KeystoneCreateGroupOption(**options))
    return client.keystone_create_group(iam.KeystoneCreateGroupRequest(body=body)).group


def update_user(client, user_id, **options):
    body = iam.KeystoneUpdateUserByAdminRequestBody(user=iam.KeystoneUpdateUserOption(**options))
    return client.keystone_update_user_by_admin(iam.KeystoneUpdateUserByAdminRequest(user_id=user_id, body=body)).user


def create_key(client, user_id, **options):
    option = iam.CreateCredentialOption(user_id=user_id, **options)
    body = iam.CreatePermanentAccessKeyRequestBody(credential=option)
    return client.create_permanent_access_key(iam.CreatePermanentAccessKeyRequest(body=body)).credential


def show_key(client, key):
    return client.show_permanent_access_key(iam.ShowPermanentAccessKeyRequest(access_key=key)).credential


def update_key(client, key, **options):
    body = iam.UpdatePermanentAccessKeyRequestBody(credential=iam.UpdateCredentialOption(**options))
    request = iam.UpdatePermanentAccessKeyRequest(access_key=key, body=body)
    return client.update_permanent_access_key(request).credential


def test_a_user_is_created_listed_shown_changed_and_deleted(bailiwick, client):
    made = create_user(client, description="builds", password="Correct-horse1", domain_id=bailiwick.account)
    assert (made.enabled, made.description, made.domain_id) == (True, "builds", bailiwick.account)
    assert made.password_expires_at is None and made.links._self.endswith(f"/v3/users/{made.id}")

    listed = client.keystone_list_users(iam.KeystoneListUsersRequest(name=made.name)).users
    assert [user.id for user in listed] == [made.id]
    everybody = client.keystone_list_users(iam.KeystoneListUsersRequest()).users
    assert {made.id, bailiwick.root} <= {user.id for user in everybody}
    elsewhere = client.keystone_list_users(iam.KeystoneListUsersRequest(domain_id=GONE)).users
    assert elsewhere == []
    disabled = client.keystone_list_users(iam.KeystoneListUsersRequest(enabled=False)).users
    assert made.id not in [user.id for user in disabled]

    changed = update_user(client, made.id, name=made.name + "x", description="tests", enabled=False)
    assert (changed.name, changed.description, changed.enabled) == (made.name + "x", "tests", False)
    shown = client.keystone_show_user(iam.KeystoneShowUserRequest(user_id=made.id)).user
    assert (shown.name, shown.enabled, shown.access_mode) == (changed.name, False, "default")
    disabled = client.keystone_list_users(iam.KeystoneListUsersRequest(enabled=False)).users
    assert made.id in [user.id for user in disabled]

    client.keystone_delete_user(iam.KeystoneDeleteUserRequest(user_id=made.id))
    for call, request in (
        (client.keystone_delete_user, iam.KeystoneDeleteUserRequest(user_id=made.id)),
        (client.keystone_show_user, iam.KeystoneShowUserRequest(user_id=made.id)),
    ):
        error = refused(call, request, 404)
        assert error.error_code and made.id in error.error_msg


def test_the_longer_shape_of_a_user_has_its_times_and_its_id_in_another_system(bailiwick, client):
    option = iam.CreateUserOption(
        name=unique("user"), domain_id=bailiwick.account, xuser_type="corp", xuser_id=unique("x"), description="d"
    )
    made = client.create_user(iam.CreateUserRequest(body=iam.CreateUserRequestBody(user=option))).user
    assert (made.xuser_type, made.xuser_id, made.is_domain_owner) == ("corp", option.xuser_id, False)
    change = iam.UpdateUserRequestBody(user=iam.UpdateUserOption(description="other", enabled=False))
    changed = client.update_user(iam.UpdateUserRequest(user_id=made.id, body=change)).user
    assert (changed.description, changed.enabled, changed.xuser_id) == ("other", False, option.xuser_id)
    shown = client.show_user(iam.ShowUserRequest(user_id=made.id)).user
    assert shown.create_time == made.create_time and shown.update_time >= made.create_time
    assert shown.access_mode == "programmatic"
    mail = iam.UpdateUserRequestBody(user=iam.UpdateUserOption(email="ada@example.org"))
    assert "email" in refused(client.update_user, iam.UpdateUserRequest(user_id=made.id, body=mail), 400).error_msg


def test_names_and_passwords_that_the_vendor_refuses_are_refused_naming_the_field(client):
    for field, options in (
        ("user.name", {"name": "9lives"}),
        ("user.name", {"name": "a@b"}),
        ("user.name", {"name": "x" * 65}),
        ("user.password", {"password": "onlyletters"}),
        ("user.password", {"password": "Ab1"}),
        ("user.description", {"description": "x" * 256}),
        ("user.domain_id", {"domain_id": GONE}),
    ):
        with pytest.raises(ClientRequestException) as caught:
            create_user(client, **options)
        assert caught.value.status_code == 400 and field in caught.value.error_msg, caught.value
    made = create_user(client)
    with pytest.raises(ClientRequestException) as caught:
        create_user(client, name=made.name)
    assert caught.value.status_code == 409


def test_groups_their_members_and_the_answers_to_asking_twice(bailiwick, client):
    group, user = create_group(client, description="those who build"), create_user(client)
    assert isinstance(group.create_time, int) and group.domain_id == bailiwick.account
    add = iam.KeystoneAddUserToGroupRequest(group_id=group.id, user_id=user.id)
    check = iam.KeystoneCheckUserInGroupRequest(group_id=group.id, user_id=user.id)
    remove = iam.KeystoneRemoveUserFromGroupRequest(group_id=group.id, user_id=user.id)

    refused(client.keystone_check_user_in_group, check, 404)
    # With a header that makes each call another one, and as the very same bytes.
    for one in (client, client, client.client, client.client):
        assert one.keystone_add_user_to_group(add).status_code == 204
    assert client.keystone_check_user_in_group(check).status_code == 204
    members = client.keystone_list_users_for_group_by_admin(
        iam.KeystoneListUsersForGroupByAdminRequest(group_id=group.id)
    )
    assert [member.id for member in members.users] == [user.id]
    groups = client.keystone_list_groups_for_user(iam.KeystoneListGroupsForUserRequest(user_id=user.id)).groups
    assert [found.id for found in groups] == [group.id]
    assert client.keystone_remove_user_from_group(remove).status_code == 204
    refused(client.keystone_remove_user_from_group, remove, 404)
    refused(client.keystone_check_user_in_group, check, 404)

    change = iam.KeystoneUpdateGroupRequestBody(group=iam.KeystoneUpdateGroupOption(name=group.name + "s"))
    changed = client.keystone_update_group(iam.KeystoneUpdateGroupRequest(group_id=group.id, body=change)).group
    assert (changed.name, changed.description) == (group.name + "s", "those who build")
    found = client.keystone_list_groups(iam.KeystoneListGroupsRequest(name=changed.name)).groups
    assert [one.id for one in found] == [group.id]
    client.keystone_delete_group(iam.KeystoneDeleteGroupRequest(group_id=group.id))
    refused(client.keystone_show_group, iam.KeystoneShowGroupRequest(group_id=group.id), 404)
    refused(client.keystone_delete_group, iam.KeystoneDeleteGroupRequest(group_id=group.id), 404)
    unknown = iam.KeystoneAddUserToGroupRequest(group_id=GONE, user_id=user.id)
    refused(client.keystone_add_user_to_group, unknown, 404)


def test_a_path_holds_an_id_and_never_a_name(client):
    user = create_user(client)
    refused(client.keystone_delete_user, iam.KeystoneDeleteUserRequest(user_id=user.name), 404)
    assert client.keystone_show_user(iam.KeystoneShowUserRequest(user_id=user.id)).user.id == user.id


def test_the_built_in_group_and_the_root_user_stay(bailiwick, client):
    admins = client.keystone_list_groups(iam.KeystoneListGroupsRequest(name="administrators")).groups[0]
    refused(client.keystone_delete_group, iam.KeystoneDeleteGroupRequest(group_id=admins.id), 409)
    rename = iam.KeystoneUpdateGroupRequestBody(group=iam.KeystoneUpdateGroupOption(name="others"))
    refused(client.keystone_update_group, iam.KeystoneUpdateGroupRequest(group_id=admins.id, body=rename), 409)
    refused(client.keystone_delete_user, iam.KeystoneDeleteUserRequest(user_id=bailiwick.root), 409)
    with pytest.raises(ClientRequestException) as caught:
        update_user(client, bailiwick.root, enabled=False)
    assert caught.value.status_code == 409


def test_permanent_keys_show_their_secret_once_and_when_they_were_used(bailiwick, client):
    user = create_user(client)
    made = create_key(client, user.id, description="laptop")
    assert made.secret and made.status == "active" and made.user_id == user.id
    listed = client.list_permanent_access_keys(iam.ListPermanentAccessKeysRequest(user_id=user.id)).credentials
    assert [(key.access, key.description) for key in listed] == [(made.access, "laptop")]
    assert not hasattr(listed[0], "secret") and show_key(client, made.access).last_use_time is None
    own = client.list_permanent_access_keys(iam.ListPermanentAccessKeysRequest()).credentials
    assert [key.access for key in own] == [bailiwick.key_id]

    theirs = sdk.iam_client(bailiwick.base, made.access, made.secret, bailiwick.account)
    refused(theirs.keystone_list_users, iam.KeystoneListUsersRequest(), 403)
    used = until(lambda: show_key(client, made.access).last_use_time, 5, "the use of the key is written")
    assert used.startswith("20") and used.endswith("Z")

    assert update_key(client, made.access, status="inactive").status == "inactive"
    refused(theirs.keystone_list_users, iam.KeystoneListUsersRequest(), 401)
    changed = update_key(client, made.access, status="active", description="desktop")
    assert (changed.status, changed.description) == ("active", "desktop")
    refused(theirs.keystone_list_users, iam.KeystoneListUsersRequest(), 403)
    with pytest.raises(ClientRequestException) as caught:
        update_key(client, made.access, status="asleep")
    assert caught.value.status_code == 400 and "credential.status" in caught.value.error_msg

    client.delete_permanent_access_key(iam.DeletePermanentAccessKeyRequest(access_key=made.access))
    refused(theirs.keystone_list_users, iam.KeystoneListUsersRequest(), 401)
    gone = iam.DeletePermanentAccessKeyRequest(access_key=made.access)
    refused(client.delete_permanent_access_key, gone, 404)
    refused(client.show_permanent_access_key, iam.ShowPermanentAccessKeyRequest(access_key=made.access), 404)


def test_disabling_a_user_ends_keys_and_tokens_at_once_and_enabling_revives_the_keys_alone(bailiwick, client):
    user = create_user(client, password="Correct-horse1")
    key = create_key(client, user.id)
    theirs = sdk.iam_client(bailiwick.base, key.access, key.secret, bailiwick.account)
    with_token = sdk.iam_client_with_token(bailiwick.base, token_of(bailiwick, user.name, "Correct-horse1"))
    for one in (theirs, with_token):
        refused(one.keystone_list_users, iam.KeystoneListUsersRequest(), 403)
    update_user(client, user.id, enabled=False)
    for one in (theirs, with_token):
        refused(one.keystone_list_users, iam.KeystoneListUsersRequest(), 401)
    with pytest.raises(ClientRequestException):
        token_of(bailiwick, user.name, "Correct-horse1")
    update_user(client, user.id, enabled=True)
    refused(theirs.keystone_list_users, iam.KeystoneListUsersRequest(), 403)
    refused(with_token.keystone_list_users, iam.KeystoneListUsersRequest(), 401)


def token_of(server, name, password):
    account = iam.PwdPasswordUserDomain(name=server.user_name)
    user = iam.PwdPasswordUser(domain=account, name=name, password=password)
    identity = iam.PwdIdentity(methods=["password"], password=iam.PwdPassword(user=user))
    body = iam.KeystoneCreateUserTokenByPasswordRequestBody(auth=iam.PwdAuth(identity=identity))
    request = iam.KeystoneCreateUserTokenByPasswordRequest(body=body)
    return sdk.iam_client_with_token(server.base).keystone_create_user_token_by_password(request).x_subject_token


def change_password(client, user_id, old, new):
    option = iam.KeystoneUpdatePasswordOption(original_password=old, password=new)
    body = iam.KeystoneUpdateUserPasswordRequestBody(user=option)
    return iam.KeystoneUpdateUserPasswordRequest(user_id=user_id, body=body)


def test_people_change_their_own_password_with_the_old_one_and_nobody_elses(bailiwick, client):
    user = create_user(client, password="Correct-horse1")
    token = token_of(bailiwick, user.name, "Correct-horse1")
    theirs = sdk.iam_client_with_token(bailiwick.base, token)
    change = theirs.keystone_update_user_password
    refused(change, change_password(theirs, user.id, "Wrong-horse1", "Other-horse2"), 401)
    refused(change, change_password(theirs, user.id, "Correct-horse1", "Correct-horse1"), 400)
    refused(change, change_password(theirs, bailiwick.root, bailiwick.password, "Other-horse2"), 403)
    assert change(change_password(theirs, user.id, "Correct-horse1", "Other-horse2")).status_code == 204
    refused(theirs.keystone_list_users, iam.KeystoneListUsersRequest(), 401)
    assert token_of(bailiwick, user.name, "Other-horse2")


def test_the_projects_of_a_user_are_those_of_the_account(bailiwick, client):
    user = create_user(client)
    found = client.keystone_list_projects_for_user(iam.KeystoneListProjectsForUserRequest(user_id=user.id)).projects
    assert [project.id for project in found] == [bailiwick.project]
    request = iam.KeystoneListProjectsForUserRequest(user_id=GONE)
    refused(client.keystone_list_projects_for_user, request, 404)


def create_agency(client, account, **options):
    options = {"name": unique("agency"), "domain_id": account, **options}
    body = iam.CreateAgencyRequestBody(agency=iam.CreateAgencyOption(**options))
    return client.create_agency(iam.CreateAgencyRequest(body=body)).agency


def update_agency(client, agency_id, **options):
    body = iam.UpdateAgencyRequestBody(agency=iam.UpdateAgencyOption(**options))
    return client.update_agency(iam.UpdateAgencyRequest(agency_id=agency_id, body=body)).agency


def test_an_agency_trusts_an_account_for_ever_or_for_some_days(bailiwick, client):
    account = bailiwick.account
    made = create_agency(client, account, trust_domain_name=bailiwick.user_name, description="backups")
    assert (made.trust_domain_id, made.duration, made.expire_time) == (account, "FOREVER", None)
    shown = client.show_agency(iam.ShowAgencyRequest(agency_id=made.id)).agency
    assert shown.trust_domain_name == bailiwick.user_name and shown.description == "backups"
    assert shown.agency_urn == f"iam::{account}:agency:{made.name}"
    assert create_agency(client, account, trust_domain_id=account, duration="ONEDAY").duration == "24"
    assert create_agency(client, account, trust_domain_id=account, duration=20).duration == "480"
    changed = update_agency(client, made.id, trust_domain_id=GONE, duration="2")
    assert changed.trust_domain_id == GONE and changed.expire_time
    assert update_agency(client, made.id, duration="FOREVER").expire_time is None

    for options in ({}, {"trust_domain_id": account, "duration": "0"}, {"trust_domain_name": "nobody knows it"}):
        with pytest.raises(ClientRequestException) as caught:
            create_agency(client, account, **options)
        assert caught.value.status_code == 400, options
    with pytest.raises(ClientRequestException) as caught:
        update_agency(client, made.id)
    assert caught.value.status_code == 400

    by_name = iam.ListAgenciesRequest(domain_id=account, name=made.name)
    assert [found.id for found in client.list_agencies(by_name).agencies] == [made.id]
    by_trust = iam.ListAgenciesRequest(domain_id=account, trust_domain_id=GONE)
    assert made.id in [found.id for found in client.list_agencies(by_trust).agencies]
    pages = [
        client.list_agencies(iam.ListAgenciesRequest(domain_id=account, page=page, per_page=2)).agencies
        for page in (1, 2, 3)
    ]
    everything = client.list_agencies(iam.ListAgenciesRequest(domain_id=account)).agencies
    assert [one.id for page in pages for one in page] == [one.id for one in everything][:6]

    client.delete_agency(iam.DeleteAgencyRequest(agency_id=made.id))
    refused(client.delete_agency, iam.DeleteAgencyRequest(agency_id=made.id), 404)
    refused(client.show_agency, iam.ShowAgencyRequest(agency_id=made.id), 404)


def test_things_of_another_account_look_like_things_that_never_were(bailiwick, client):
    account = bailiwick.cli("account", "create", unique("other"), "--data-dir", bailiwick.data, *database(bailiwick))
    key = account["accessKeyId"], account["secretAccessKey"]
    other = sdk.Unique(sdk.iam_client(bailiwick.base, *key, account["id"]))
    user, group = create_user(other), create_group(other)
    agency = create_agency(other, account["id"], trust_domain_id=account["id"])
    their_key = create_key(other, user.id)
    for call, request, theirs in (
        (client.keystone_show_user, lambda found: iam.KeystoneShowUserRequest(user_id=found), user.id),
        (client.keystone_delete_user, lambda found: iam.KeystoneDeleteUserRequest(user_id=found), user.id),
        (client.show_user, lambda found: iam.ShowUserRequest(user_id=found), user.id),
        (client.keystone_show_group, lambda found: iam.KeystoneShowGroupRequest(group_id=found), group.id),
        (client.keystone_delete_group, lambda found: iam.KeystoneDeleteGroupRequest(group_id=found), group.id),
        (client.show_agency, lambda found: iam.ShowAgencyRequest(agency_id=found), agency.id),
        (client.delete_agency, lambda found: iam.DeleteAgencyRequest(agency_id=found), agency.id),
        (
            client.show_permanent_access_key,
            lambda found: iam.ShowPermanentAccessKeyRequest(access_key=found),
            their_key.access,
        ),
        (
            client.delete_permanent_access_key,
            lambda found: iam.DeletePermanentAccessKeyRequest(access_key=found),
            their_key.access,
        ),
    ):
        foreign, unknown = refused(call, request(theirs), 404), refused(call, request(GONE), 404)
        assert foreign.error_msg.replace(theirs, GONE) == unknown.error_msg
        assert foreign.error_code == unknown.error_code


def database(server):
    return ("--database", server.database) if server.database else ()
