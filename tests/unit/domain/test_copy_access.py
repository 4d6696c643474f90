"""The key of a home copy goes into the guest on stdin, never as part of a command."""

from __future__ import annotations

import pytest

from vmclone_operator.domain.guest_access import allow_copy, end_copies

LINE = 'restrict,command="rsync --server" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 vmclone-home-copy-1'


def test_the_key_travels_on_stdin_and_the_script_is_the_same_for_all() -> None:
    one, other = allow_copy(user="dev", line=LINE), allow_copy(user="other", line=LINE + "2")
    assert one.name == "copy-access"
    assert one.script == other.script == end_copies(user="dev").script
    assert one.stdin == f"user=dev\nline={LINE}\nend=1\n"


def test_ending_copies_names_no_key() -> None:
    assert end_copies(user="dev").stdin == "user=dev\nend=1\n"


LINES = {
    "nothing": "",
    "two lines: the second would be a key of its own": f"{LINE}\nssh-rsa AAAA evil",
    "a carriage return": f"{LINE}\rssh-rsa AAAA evil",
    "letters that a guest may read otherwise": f"{LINE} \u2028",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_a_key_is_one_plain_line(line: str) -> None:
    with pytest.raises(ValueError, match="one line of authorized_keys"):
        allow_copy(user="dev", line=line)


@pytest.mark.parametrize("user", ["", "Dev", "dev\nline=x", "1dev", "-dev", "d" * 33, "dev;reboot", "dév", "dev\n"])
def test_a_user_is_named_as_the_schema_allows(user: str) -> None:
    with pytest.raises(ValueError, match="is no user name"):
        allow_copy(user=user, line=LINE)
    with pytest.raises(ValueError, match="is no user name"):
        end_copies(user=user)


def test_a_first_copy_is_refused_by_a_clone_that_has_its_home() -> None:
    assert allow_copy(user="dev", line=LINE, unless_copied="1-2").stdin == f"user=dev\nunless=1-2\nline={LINE}\nend=1\n"
    assert end_copies(user="dev", copied="1-2").stdin == "user=dev\ncopied=1-2\nend=1\n"


@pytest.mark.parametrize("incarnation", ["1\nline=x", "a b", "x" * 65])
def test_an_incarnation_is_plain(incarnation: str) -> None:
    with pytest.raises(ValueError, match="is no incarnation"):
        end_copies(user="dev", copied=incarnation)
