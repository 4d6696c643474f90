"""The script that changes who may log in, run for real on a home of this test: only keys of ours go."""

from __future__ import annotations

import subprocess

import pytest
from tests.unit.domain.test_copy_access_script import Guest, guest, shell, wrote

from vmclone_operator.api.replica import AccessStatus
from vmclone_operator.domain.guest_access import allow_copy, end_copies
from vmclone_operator.domain.guest_keys import Wanted, begun, command, fingerprint

__all__ = ["guest", "shell"]
ALICE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFsaWNleHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 alice@example.com"
BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvYnh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 bob"
OWN = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY= me@laptop"
RESTRICTED = f'restrict,command="true" {ALICE}'
COPY = 'restrict,command="rsync --server" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 vmclone-home-copy-2'


def wish(*keys: str) -> Wanted:
    return Wanted(user="dev", keys=keys)


def had(*keys: str) -> AccessStatus:
    return begun(wish(*keys))


def test_a_new_key_comes_in_and_an_old_one_goes(guest: Guest) -> None:
    wrote(guest, f"# mine\n{OWN}\n{ALICE}\n")
    assert guest.run(command(had(ALICE), wish(BOB))).returncode == 0
    assert guest.keys.read_text() == f"# mine\n{OWN}\n{BOB}\n"
    assert list(guest.keys.parent.iterdir()) == [guest.keys]


def test_sending_it_again_changes_nothing(guest: Guest) -> None:
    wrote(guest, f"{ALICE}\n")
    for _ in range(2):
        assert guest.run(command(had(ALICE, BOB), wish(ALICE))).returncode == 0
        assert guest.keys.read_text() == f"{ALICE}\n"


def test_a_key_that_is_there_under_another_comment_is_not_doubled(guest: Guest) -> None:
    other = ALICE.replace("alice@example.com", "alice on her laptop")
    wrote(guest, f"{other}\n")
    assert guest.run(command(had(), wish(ALICE, BOB))).returncode == 0
    assert guest.keys.read_text() == f"{other}\n{BOB}\n"


def test_an_old_key_goes_whatever_its_comment_says_now(guest: Guest) -> None:
    wrote(guest, f"{ALICE.rpartition(' ')[0]} renamed * $(id) here\n{OWN}")
    assert guest.run(command(had(ALICE), wish())).returncode == 0
    assert guest.keys.read_text() == f"{OWN}\n"


def test_what_is_no_plain_key_of_ours_stays(guest: Guest) -> None:
    kept = f"\n# {ALICE}\n{RESTRICTED}\n{COPY}\nssh-ed25519\n{OWN}\n"
    wrote(guest, kept + f"{ALICE}\n")
    assert guest.run(command(had(ALICE), wish())).returncode == 0
    assert guest.keys.read_text() == kept


def test_a_home_copy_and_a_change_of_keys_leave_each_other_alone(guest: Guest) -> None:
    wrote(guest, f"{ALICE}\n")
    assert guest.run(allow_copy(user="dev", line=COPY)).returncode == 0
    assert guest.run(command(had(ALICE), wish(BOB))).returncode == 0
    assert guest.keys.read_text() == f"{COPY}\n{BOB}\n"
    assert guest.run(end_copies(user="dev")).returncode == 0
    assert guest.keys.read_text() == f"{BOB}\n"


def test_a_home_without_the_file_gets_it_and_without_a_key_gets_nothing(guest: Guest) -> None:
    assert guest.run(command(had(ALICE), wish())).returncode == 0
    assert list(guest.home.iterdir()) == []
    assert guest.run(command(had(), wish(ALICE))).returncode == 0
    assert guest.keys.read_text() == f"{ALICE}\n"
    assert guest.keys.stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_home_leads_nowhere(guest: Guest) -> None:
    elsewhere = guest.folder / "elsewhere"
    elsewhere.mkdir()
    (guest.home / ".ssh").symlink_to(elsewhere)
    refused = guest.run(command(had(), wish(ALICE)))
    assert (refused.returncode, ".ssh is a link" in refused.stderr) == (64, True)
    assert list(elsewhere.iterdir()) == []


def test_what_does_not_arrive_complete_changes_nothing(guest: Guest) -> None:
    wrote(guest, f"{ALICE}\n")
    whole = command(had(ALICE), wish(BOB))
    cut = type(whole)(name=whole.name, script=whole.script, stdin=whole.stdin.removesuffix("end=1\n"))
    assert guest.run(cut).returncode == 64
    assert guest.keys.read_text() == f"{ALICE}\n"


def test_the_fingerprint_is_that_of_ssh_keygen() -> None:
    if subprocess.run(["which", "ssh-keygen"], capture_output=True, check=False).returncode != 0:
        pytest.skip("not applicable: there is no ssh-keygen here")
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGdvbGRlbi1kZXYtZXhhbXBsZS1wZW9wbGUta2V5LTAw people"
    told = subprocess.run(["ssh-keygen", "-lf", "-"], input=key, capture_output=True, text=True, check=True).stdout
    assert told.split()[1] == fingerprint(key)


def test_from_the_file_of_a_user_that_was_renamed_all_of_ours_go_and_the_others_stay(guest: Guest) -> None:
    wrote(guest, f"{OWN}\n{ALICE}\n{BOB}\n")
    renamed = had(ALICE, BOB).model_copy(update={"user": "ops", "former_users": ("gone", "dev")})
    other = guest.folder / "ops"
    other.mkdir()
    assert guest.run(command(renamed, wish(ALICE)), ops=other).returncode == 0
    assert guest.keys.read_text() == f"{OWN}\n"
    assert (other / ".ssh" / "authorized_keys").read_text() == f"{ALICE}\n"
