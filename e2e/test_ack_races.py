"""Two hundred writers to one user's rights at once, by both vendors' dialects: the rights end as one of them wrote them,
never a mix, never nothing."""

import secrets
import urllib.parse

import pytest

from harness import acs3, wire
from harness.ack import SyncClient, granted, shown

BOTH = pytest.mark.parametrize("bailiwick", ["sqlite", "postgres"], indirect=True, scope="module")

WRITERS = 100
"""Of each dialect."""


def signed_by_the_second_vendor(bailiwick, method, target, body):
    data, host = wire.encoded(body), urllib.parse.urlsplit(bailiwick.base).netloc
    key = (bailiwick.key_id, bailiwick.secret)
    headers = acs3.headers(*key, method, target, host, "2015-12-15", data)
    return wire.request_bytes(method, target, [*headers, ("Content-Type", "application/json")], data)


def signed_by_the_first_vendor(bailiwick, method, target, body):
    data = wire.encoded(body)
    return wire.request_bytes(method, target, bailiwick.client().headers(method, target, data), data)


def all_at_once(bailiwick, requests):
    """Sends each request on a connection of its own, all before the first answer is read."""
    connections = [wire.connect(bailiwick.base) for _ in requests]
    try:
        for connection, data in zip(connections, requests):
            connection.sendall(data)
        return [wire.read_answer(connection) for connection in connections]
    finally:
        for connection in connections:
            connection.close()


def written(cluster, writer):
    """The rights that one writer wants a user to have: nobody else's are among them."""
    return [(cluster, f"w-{writer}-{part}") for part in "abc"]


def policy(cluster, user, namespaces):
    return {
        "name": "race",
        "clusters": [cluster],
        "accessScope": {"namespaces": namespaces},
        "policyType": "CCEEditPolicy",
        "principal": {"type": "user", "ids": [user]},
    }


class Race:
    """A user, a cluster, and an access policy of the user that the other dialect writes."""

    def __init__(self, bailiwick, namespaces):
        self.bailiwick = bailiwick
        self.root = SyncClient(bailiwick.base, (bailiwick.key_id, bailiwick.secret))
        self.user, self.cluster = bailiwick.add_user(), bailiwick.add_cluster()
        created = policy(self.cluster, self.user, namespaces)
        self.policy = bailiwick.client().call("POST", "/api/v3/access-policies", created)["policyId"]
        self.root.update_user_permissions(self.user, [granted((self.cluster, "before"), "dev")], "patch")

    def replaces(self, writers):
        """One full replace of each writer."""
        target = f"/permissions/users/{self.user}"
        sets = [[granted(place, "dev") for place in written(self.cluster, writer)] for writer in writers]
        return [signed_by_the_second_vendor(self.bailiwick, "POST", target, rows) for rows in sets]

    def updates(self, writers, parts):
        """One update of the access policy by each writer, to namespaces that are theirs."""
        target = f"/api/v3/access-policies/{self.policy}"
        bodies = [policy(self.cluster, self.user, [f"p-{writer}-{part}" for part in parts]) for writer in writers]
        return [signed_by_the_first_vendor(self.bailiwick, "PUT", target, body) for body in bodies]

    def rows(self):
        return self.root.describe_user_permission(self.user).body

    def losers(self, answers):
        """Who of the writers was told to try again; the others were told that it is done."""
        for answer in answers:
            assert answer is not None, "a connection was closed without an answer"
            told = (answer.status, answer.json().get("Code") if answer.status != 200 else None)
            assert told in ((200, None), (409, "ErrAuthorizationConflict")), answer
        return [writer for writer, answer in enumerate(answers) if answer.status != 200]


def mixed(one, other):
    """Both, alternating."""
    return [request for pair in zip(one, other) for request in pair]


def own(rows):
    """The rights that writers of the second vendor's dialect set, or that there were before."""
    return [row for row in rows if "/p-" not in row["resource_id"]]


def wanted_by(race, writers):
    """What the user would have after each of them."""
    return [[shown(place, "dev") for place in written(race.cluster, writer)] for writer in writers]


@BOTH
def test_of_two_hundred_writers_in_two_dialects_one_of_each_has_the_last_word(bailiwick):
    # A policy over two namespaces is nobody's single right: replacing leaves it standing.
    race = Race(bailiwick, ["p-0-a", "p-0-b"])
    before = own(race.rows())
    answers = all_at_once(bailiwick, mixed(race.replaces(range(WRITERS)), race.updates(range(WRITERS), "ab")))
    losers, of_updates = race.losers(answers[::2]), answers[1::2]
    updaters = [writer for writer, answer in enumerate(of_updates) if answer.status == 200]
    assert updaters
    assert {answer.status for answer in of_updates} <= {200, 409}, of_updates
    rows = race.rows()
    policies = [[shown((race.cluster, f"p-{writer}-{part}"), "dev") for part in "ab"] for writer in updaters]
    assert [row for row in rows if row not in own(rows)] in policies
    # Replaces may all have lost to updates, but then nothing of them is there.
    winners = [writer for writer in range(WRITERS) if writer not in losers]
    assert own(rows) in (wanted_by(race, winners) or [before])

    # Who lost tries again, as the vendor's own tools do. Somebody always comes through, and has the last word.
    for _ in range(3):
        again = race.losers(all_at_once(bailiwick, race.replaces(losers)))
        assert len(again) < len(losers), "nobody came through"
        came_through = [writer for place, writer in enumerate(losers) if place not in again]
        assert own(race.rows()) in wanted_by(race, came_through)
        losers = [losers[place] for place in again] or losers


@BOTH
def test_a_single_right_that_the_other_dialect_writes_at_the_same_time_is_replaced_with_the_rest(bailiwick):
    race = Race(bailiwick, ["p-0-a"])
    before = own(race.rows())
    answers = all_at_once(bailiwick, mixed(race.replaces(range(WRITERS)), race.updates(range(WRITERS), "a")))
    losers = race.losers(answers[::2])
    # The policy is gone with the first replace that is carried out; updates come before it or find nothing.
    assert {answer.status for answer in answers[1::2]} <= {200, 404, 409}, answers[1::2]
    winners = [writer for writer in range(WRITERS) if writer not in losers]
    gone = race.bailiwick.client().request("GET", f"/api/v3/access-policies/{race.policy}").status == 404
    assert gone is bool(winners)
    assert own(race.rows()) in (wanted_by(race, winners) or [before])
    if not winners:
        race.root.grant_permissions(race.user, [granted(place, "dev") for place in written(race.cluster, 0)])
        winners = [0]
    assert race.rows() in wanted_by(race, winners)


@BOTH
def test_new_rights_in_both_dialects_at_once_are_all_there(bailiwick):
    race = Race(bailiwick, ["p-0-a", "p-0-b"])
    marks = [secrets.token_hex(3) for _ in range(10)]
    target = f"/permissions/users/{race.user}/update?mode=patch"
    creates = [
        signed_by_the_first_vendor(
            bailiwick, "POST", "/api/v3/access-policies", policy(race.cluster, race.user, [f"c-{mark}"])
        )
        for mark in marks
    ]
    pending, attempts = list(marks), 0
    while pending:
        patches = [
            signed_by_the_second_vendor(
                bailiwick, "POST", target, [granted((race.cluster, f"n-{mark}"), "restricted")]
            )
            for mark in pending
        ]
        answers = all_at_once(bailiwick, [*patches, *creates])
        assert all(answer.status == 201 for answer in answers[len(patches) :]), answers
        creates, attempts = [], attempts + 1
        pending = [pending[place] for place in race.losers(answers[: len(patches)])]
        assert attempts <= len(marks) + 1, "nobody came through"
    names = {row["resource_id"].split("/")[1] for row in race.rows()}
    assert names == {f"{kind}-{mark}" for mark in marks for kind in "nc"} | {"before", "p-0-a", "p-0-b"}
