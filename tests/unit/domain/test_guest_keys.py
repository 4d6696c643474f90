"""Who may log in to a clone that exists: the ledger knows a key before the clone does, and forgets it afterwards."""

from __future__ import annotations

import pytest

from vmclone_operator.api.replica import AccessStatus
from vmclone_operator.domain import guest_keys
from vmclone_operator.domain.guest_keys import (
    Change,
    Wanted,
    begun,
    command,
    fingerprint,
    installed,
    recorded,
    replaced,
)

ALICE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFsaWNleHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 alice"
BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvYnh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 bob"
CAROL = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGNhcm9seHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 carol"
NOW = "2026-01-01T00:00:00Z"


def wish(*keys: str, user: str = "dev") -> Wanted:
    return Wanted(user=user, keys=keys)


def has(*keys: str) -> AccessStatus:
    """Return the record of a clone that was given these keys."""
    return replaced(begun(wish(*keys)), wish(*keys), now=NOW)


ROWS: dict[str, tuple[AccessStatus | None, Wanted | None, bool, Change]] = {
    "what is wanted is there": (has(ALICE), wish(ALICE), True, Change.NONE),
    "the order is no difference": (has(ALICE, BOB), wish(BOB, ALICE), True, Change.NONE),
    "a comment is no difference": (has(ALICE), wish(ALICE + " at home"), True, Change.NONE),
    "nobody kept a record": (None, wish(ALICE), True, Change.NONE),
    "nobody says for whom": (has(ALICE), None, True, Change.NONE),
    "another key is recorded first": (has(ALICE), wish(BOB), True, Change.RECORD),
    "then it is put in": (recorded(has(ALICE), wish(BOB)), wish(BOB), True, Change.REPLACE),
    "one that is only taken out is recorded, too": (has(ALICE, BOB), wish(ALICE), True, Change.RECORD),
    "then it is taken out": (recorded(has(ALICE, BOB), wish(ALICE)), wish(ALICE), True, Change.REPLACE),
    "all of them": (has(ALICE), wish(), True, Change.RECORD),
    "one that comes back while it is taken out": (
        recorded(has(ALICE, BOB), wish(ALICE)),
        wish(ALICE, BOB),
        True,
        Change.RECORD,
    ),
    "after it was refused": (guest_keys.refused(recorded(has(ALICE), wish(BOB))), wish(BOB), True, Change.RECORD),
    "a clone that cannot be told": (has(ALICE), wish(BOB), False, Change.WAIT),
    "one that was told half and then not": (recorded(has(ALICE), wish(BOB)), wish(BOB), False, Change.WAIT),
    "taken back before it was begun": (has(ALICE), wish(ALICE), False, Change.NONE),
    "taken back after it was begun": (recorded(has(ALICE), wish(BOB)), wish(ALICE), True, Change.RECORD),
    "a reset whose end nobody saw": (begun(wish(ALICE)), wish(ALICE), True, Change.RECORD),
    "a user that was renamed before the reset": (
        installed(begun(wish(ALICE)), wish(ALICE, user="ops")),
        wish(ALICE, user="ops"),
        True,
        Change.RECORD,
    ),
    "a clone that never had a key": (begun(wish()), wish(), True, Change.NONE),
    "a first key for it": (begun(wish()), wish(ALICE), True, Change.RECORD),
}


@pytest.mark.parametrize(("access", "wanted", "ready", "change"), ROWS.values(), ids=ROWS.keys())
def test_what_comes_next(access: AccessStatus | None, wanted: Wanted | None, ready: bool, change: Change) -> None:
    assert guest_keys.next_of(access, wanted, ready=ready) is change


def test_every_key_that_may_be_in_the_clone_is_taken_out_when_it_is_wanted_no_more() -> None:
    """A second change while the first is under way: what the first may have put in goes as well."""
    access = recorded(recorded(has(ALICE), wish(BOB)), wish(CAROL))
    lines = command(access, wish(CAROL)).stdin.splitlines()
    assert sum(line.startswith("drop=") for line in lines) == 2
    assert lines[-2:] == [f"key={CAROL}", "end=1"]
    assert replaced(access, wish(CAROL), now=NOW).keys == (fingerprint(CAROL),)


def test_the_keys_of_the_reset_count_beside_those_that_were_wanted_when_the_clone_was_begun() -> None:
    access = installed(begun(wish(ALICE)), wish(BOB))
    assert set(access.keys) == {fingerprint(ALICE), fingerprint(BOB)}
    assert access.applied == wish(BOB).digest


def test_a_reset_without_keys_takes_none_out_so_the_old_ones_are_taken_out_afterwards() -> None:
    access = installed(begun(wish(ALICE)), wish())
    assert guest_keys.next_of(access, wish(), ready=True) is Change.RECORD
    assert command(access, wish()).stdin.count("drop=") == 1
    assert guest_keys.next_of(installed(begun(wish()), wish()), wish(), ready=True) is Change.NONE


def test_a_reset_gives_its_keys_to_the_user_of_now() -> None:
    access = installed(begun(wish(ALICE)), wish(BOB, user="other"))
    assert access.user == "other"
    assert command(access, wish(CAROL, user="other")).stdin.startswith("user=other\n")
    assert installed(begun(wish(ALICE)), wish(user="other")).user == "dev", "whose file the key is in that goes"


def test_of_a_user_that_is_renamed_before_the_reset_every_key_of_ours_goes() -> None:
    """Cloud-init gave them to the old one, whose file the reset leaves alone."""
    access = recorded(installed(begun(wish(ALICE)), wish(ALICE, user="ops")), wish(ALICE, user="ops"))
    lines = command(access, wish(ALICE, user="ops")).stdin.splitlines()
    assert (lines[0], lines[-4:-2]) == ("user=ops", [f"key={ALICE}", "former=dev"])
    assert lines[-2].startswith("ours=")
    assert replaced(access, wish(ALICE, user="ops"), now=NOW).former_users == ()


def test_a_user_that_gets_the_name_back_is_no_former_one() -> None:
    access = guest_keys.resetting(begun(wish(ALICE)), wish(ALICE, user="ops"))
    assert (access.user, access.former_users) == ("ops", ("dev",))
    again = guest_keys.resetting(access, wish(ALICE))
    assert (again.user, again.former_users) == ("dev", ("ops",))


def test_another_attempt_does_not_forget_what_the_seed_of_the_one_before_may_have_given() -> None:
    access = begun(wish(BOB, user="ops"), begun(wish(ALICE)))
    assert set(access.keys) == {fingerprint(ALICE), fingerprint(BOB)}
    assert (access.user, access.former_users, access.applied) == ("ops", ("dev",), "")
    assert begun(wish(), begun(wish())) == begun(wish())


def test_a_clone_that_is_begun_while_nobody_says_for_whom_has_a_record_all_the_same() -> None:
    assert guest_keys.next_of(begun(None), wish(ALICE), ready=True) is Change.RECORD
    assert guest_keys.is_prepared(begun(None), wish(ALICE)) is False


def test_a_first_key_goes_to_the_user_of_now() -> None:
    nobody = installed(begun(wish()), wish())
    assert command(recorded(nobody, wish(ALICE, user="other")), wish(ALICE, user="other")).stdin.startswith(
        "user=other\n"
    )


PREPARED: dict[str, tuple[AccessStatus | None, Wanted | None, bool]] = {
    "the keys that were wanted when it was begun": (begun(wish(ALICE)), wish(ALICE), True),
    "fewer of them": (begun(wish(ALICE, BOB)), wish(BOB), True),
    "none": (begun(wish(ALICE)), wish(user="other"), True),
    "another one": (begun(wish(ALICE)), wish(BOB), False),
    "the same for another user": (begun(wish(ALICE)), wish(ALICE, user="other"), False),
    "another one, once it is written down": (
        guest_keys.resetting(begun(wish(ALICE)), wish(BOB, user="other")),
        wish(BOB, user="other"),
        True,
    ),
    "the first one of a clone that nobody keeps a record of": (None, wish(ALICE), False),
    "none of a clone that nobody keeps a record of": (None, wish(), True),
    "nothing, for nobody says which": (begun(wish(ALICE)), None, True),
}


@pytest.mark.parametrize(("access", "wanted", "prepared"), PREPARED.values(), ids=PREPARED.keys())
def test_a_reset_is_told_what_the_ledger_knows(
    access: AccessStatus | None, wanted: Wanted | None, prepared: bool
) -> None:
    assert guest_keys.is_prepared(access, wanted) is prepared


def test_a_record_has_room_for_three_whole_lists() -> None:
    many = AccessStatus(user="dev", keys=tuple(f"SHA256:{number}" for number in range(guest_keys.MOST)))
    assert len(recorded(many, wish(ALICE)).keys) == guest_keys.MOST
    assert recorded(many, wish(ALICE)).keys[0] == fingerprint(ALICE)


def test_keys_go_by_stdin_and_the_script_is_the_same_for_all() -> None:
    one, other = command(has(ALICE), wish(BOB)), command(has(), wish(ALICE))
    assert one.script == other.script == guest_keys.SCRIPT
    assert "'" not in one.script.split("filter='")[1].split("\n'\n")[0], "it stands in quotes of the shell"
    assert one.name == "access-keys"


def test_the_user_whose_file_it_is_stays_the_one_that_was_told_first() -> None:
    assert command(has(ALICE), wish(BOB, user="other")).stdin.startswith("user=dev\n")


@pytest.mark.parametrize("user", ["", "Dev", "dev\nkey=x"])
def test_a_user_is_named_as_the_schema_allows(user: str) -> None:
    with pytest.raises(ValueError, match="is no user name"):
        command(AccessStatus(), wish(ALICE, user=user))


NO_KEYS = [
    "ssh-ed25519 AAAA=BBBB",
    "ssh-rsa ====",
    "ssh-ed25519 AAAA==== me",
    "ssh-ed25519",
    "no key at all",
    "",
    "é é é",
]


@pytest.mark.parametrize("text", NO_KEYS)
def test_what_is_no_key_has_a_fingerprint_all_the_same_and_is_named_where_it_is_written(text: str) -> None:
    """Every pass asks for fingerprints: what the API server once stored must end none of them."""
    assert fingerprint(text).startswith("SHA256:")
    assert next_is_named(ALICE, text).startswith(f"spec.access.authorizedKeys[1] is {text!r}, which is no public key")
    with pytest.raises(ValueError, match="an authorized key"):
        command(has(ALICE), wish(ALICE, text))


def next_is_named(*keys: str) -> str:
    return guest_keys.malformed(keys, "spec.access.authorizedKeys")


def test_keys_that_are_keys_are_named_by_nobody_and_a_long_one_is_not_shown_whole() -> None:
    assert next_is_named(ALICE, BOB + " with a comment", "ssh-ed25519 AAAA===") == ""
    assert len(next_is_named("ssh-rsa " + "=" * 8000)) < 250


def test_a_key_that_is_no_base64_has_a_fingerprint_of_its_own() -> None:
    assert fingerprint("ssh-ed25519 AAAAC") != fingerprint("ssh-ed25519 AAAAD")
