"""The directory on the command line, with the same rules as through every other interface."""

import json
import secrets

import pytest

from harness.process import until

PASSWORD = "Correct-horse1"


def unique(noun):
    return f"{noun}-{secrets.token_hex(4)}"


@pytest.fixture
def user(bailiwick):
    name = unique("user")
    bailiwick.cli("user", "create", name, "--password-stdin", "--description", "builds", text=PASSWORD + "\n")
    return name


def test_a_user_is_described_renamed_disabled_and_enabled(bailiwick, user):
    made = bailiwick.cli("user", "show", user)
    assert (made["description"], made["hasPassword"], made["groups"]) == ("builds", True, [])
    changed = bailiwick.cli("user", "update", user, "--description", "tests", "--external-id", "corp=1001")
    assert (changed["description"], changed["externalIds"]) == ("tests", [{"issuer": "corp", "subject": "1001"}])
    other = user + "x"
    assert bailiwick.cli("user", "update", user, "--name", other)["id"] == made["id"]
    key = bailiwick.add_key(made["id"])
    assert bailiwick.cli("user", "disable", other)["enabled"] is False
    assert bailiwick.run("user", "list", key=key).returncode == 1
    assert bailiwick.cli("user", "enable", other)["enabled"] is True
    nothing = bailiwick.run("user", "update", other)
    assert nothing.returncode == 2 and "--name" in nothing.stderr
    bailiwick.do("user", "delete", other)
    assert bailiwick.run("user", "show", other).returncode == 1


def test_people_change_their_own_password_and_nobody_elses(bailiwick, user):
    key = bailiwick.add_key(user)
    wrong = bailiwick.run("user", "change-password", user, text="Wrong-horse1\nOther-horse2\n", key=key)
    assert wrong.returncode == 1 and "old password" in wrong.stderr
    others = bailiwick.run("user", "change-password", bailiwick.root, text=f"{PASSWORD}\nOther-horse2\n", key=key)
    assert others.returncode == 1
    bailiwick.do("user", "change-password", user, text=f"{PASSWORD}\nOther-horse2\n", key=key)
    one_line = bailiwick.run("user", "change-password", user, text="Other-horse2\n", key=key)
    assert one_line.returncode == 2 and "two lines" in one_line.stderr
    bailiwick.do("user", "remove-password", user)
    assert bailiwick.cli("user", "show", user)["hasPassword"] is False


def test_a_key_tells_what_it_is_for_and_when_it_was_used(bailiwick, user):
    key = bailiwick.cli("key", "create", user, "--description", "laptop")
    name = key["accessKeyId"]
    assert "lastUsedAt" not in bailiwick.cli("key", "show", name)
    bailiwick.run("user", "list", key=(name, key["secretAccessKey"]))
    until(lambda: bailiwick.cli("key", "show", name).get("lastUsedAt"), 5, "the use of the key is written")
    assert bailiwick.cli("key", "describe", name, "desktop")["description"] == "desktop"
    assert bailiwick.cli("key", "disable", name)["enabled"] is False
    assert bailiwick.cli("key", "enable", name)["enabled"] is True
    bailiwick.do("key", "delete", name)


def test_a_group_is_described_and_renamed_and_the_built_in_one_is_not(bailiwick, user):
    name = unique("group")
    made = bailiwick.cli("group", "create", name, "--description", "those who build")
    bailiwick.do("group", "add-member", name, user)
    assert [group["name"] for group in bailiwick.cli("user", "show", user)["groups"]] == [name]
    changed = bailiwick.cli("group", "update", name, "--name", name + "s")
    assert (changed["id"], changed["description"]) == (made["id"], "those who build")
    refused = bailiwick.run("group", "update", "administrators", "--name", "others")
    assert refused.returncode == 1 and "cannot be renamed" in refused.stderr


def test_an_agency_says_whom_it_trusts_and_until_when(bailiwick):
    trust = {
        "Version": "5.0",
        "Statement": [
            {"Effect": "Allow", "Action": ["sts:agencies:assume"], "Principal": {"IAM": [bailiwick.account]}}
        ],
    }
    file = bailiwick.folder / "trust.json"
    file.write_text(json.dumps(trust), encoding="utf-8")
    name = unique("agency")
    made = bailiwick.cli("agency", "create", name, "--trust", file, "--max-session", "7200", "--path", "team/")
    assert json.loads(made["trustPolicy"]) == trust and made["maxSessionSeconds"] == 7200
    change = ("--trust-account", bailiwick.account, "--expires", "2099-01-31T00:00:00Z", "--description", "backups")
    changed = bailiwick.cli("agency", "update", name, *change)
    assert (changed["trustedAccountName"], changed["expiresAt"]) == (bailiwick.user_name, "2099-01-31T00:00:00Z")
    assert "expiresAt" not in bailiwick.cli("agency", "update", name, "--expires", "never")
    shown = bailiwick.cli("agency", "show", name)
    assert (shown["path"], shown["description"], json.loads(shown["trustPolicy"])) == ("team/", "backups", trust)
    broken = bailiwick.run("agency", "update", name, "--trust", "-", text='{"Version": "5.0"}')
    assert broken.returncode == 1 and "trustPolicy" in broken.stderr and "Statement" in broken.stderr


def test_the_root_user_stays(bailiwick):
    for verb in ("disable", "delete"):
        refused = bailiwick.run("user", verb, bailiwick.root)
        assert refused.returncode == 1 and "root user cannot be" in refused.stderr
    admin = bailiwick.add_user()
    bailiwick.do("group", "add-member", "administrators", admin)
    theirs = bailiwick.add_key(admin)
    for command in (
        ("key", "create", bailiwick.root),
        ("key", "disable", bailiwick.key_id),
        ("key", "delete", bailiwick.key_id),
        ("user", "update", bailiwick.root, "--name", "mine"),
    ):
        refused = bailiwick.run(*command, key=theirs)
        assert refused.returncode == 1 and "only the root user" in refused.stderr, command
