"""The script that lets a copy's key in, run for real on a home of this test: links of the user's lead nowhere."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.guest_access import allow_copy, end_copies

LINE = 'restrict,command="rsync --server" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 vmclone-home-copy-2'
EARLIER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 vmclone-home-copy-1"
OWN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@laptop"
WAYS = {"as the user": (), "as root where nothing can become the user": ("setpriv", "runuser")}
SHELLS = [name for name in ("sh", "dash", "bash") if shutil.which(name)]


@dataclass
class Guest:
    """A passwd, a marker and a home; root's and the user's are the same here, for this test may not be root."""

    folder: Path
    shell: str
    lacks: tuple[str, ...]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def keys(self) -> Path:
        return self.home / ".ssh" / "authorized_keys"

    def run(self, command: GuestCommand, **others: Path) -> subprocess.CompletedProcess[str]:
        """Run a command; `others` are the homes of more users."""
        passwd, homes = self.folder / "passwd", {"dev": self.home, **others}
        lines = [f"{user}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n" for user, home in homes.items()]
        passwd.write_text("".join(lines))
        script = command.script.replace("/etc/passwd", str(passwd)).replace("/var/lib/vmclone", f"{self.folder}/lib")
        for name in self.lacks:
            script = script.replace(f"set -- {name} ", f"set -- no-{name} ")
        argv = [self.shell, "-c", script]
        return subprocess.run(argv, input=command.stdin, text=True, capture_output=True, check=False, timeout=30)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WAYS.values(), ids=list(WAYS))
def guest(request: pytest.FixtureRequest, shell: str, tmp_path: Path) -> Guest:
    (tmp_path / "home").mkdir()
    return Guest(tmp_path, shell, request.param)


def wrote(guest: Guest, text: str) -> None:
    guest.keys.parent.mkdir()
    guest.keys.write_text(text)


def test_a_first_key_makes_the_file_for_the_user_alone(guest: Guest) -> None:
    assert guest.run(allow_copy(user="dev", line=LINE)).returncode == 0
    assert guest.keys.read_text() == f"{LINE}\n"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (guest.keys, guest.keys.parent)]
    assert modes == [0o600, 0o700]
    assert list(guest.keys.parent.iterdir()) == [guest.keys]


def test_it_replaces_the_keys_of_earlier_copies_and_no_other(guest: Guest) -> None:
    wrote(guest, f"# mine\n{EARLIER}\n{OWN}")
    assert guest.run(allow_copy(user="dev", line=LINE)).returncode == 0
    assert guest.keys.read_text() == f"# mine\n{OWN}\n{LINE}\n"
    assert guest.run(end_copies(user="dev")).returncode == 0
    assert guest.keys.read_text() == f"# mine\n{OWN}\n"


def test_ending_copies_makes_nothing_where_nothing_is(guest: Guest) -> None:
    assert guest.run(end_copies(user="dev", copied="1-2")).returncode == 0
    assert list(guest.home.iterdir()) == []
    assert guest.run(allow_copy(user="dev", line=LINE, unless_copied="1-2")).returncode == 66


def link_the_folder(guest: Guest, elsewhere: Path) -> None:
    (guest.home / ".ssh").symlink_to(elsewhere)


def link_the_file(guest: Guest, elsewhere: Path) -> None:
    guest.keys.parent.mkdir()
    guest.keys.symlink_to(elsewhere / "authorized_keys")


def make_it_a_folder(guest: Guest, _: Path) -> None:
    guest.keys.mkdir(parents=True)


PLANTED: dict[str, tuple[Callable[[Guest, Path], None], str]] = {
    "a link in place of .ssh": (link_the_folder, ".ssh is a link"),
    "a link in place of the file": (link_the_file, "authorized_keys is a link"),
    "a folder in place of the file": (make_it_a_folder, "authorized_keys"),
}


@pytest.mark.parametrize(("plant", "says"), PLANTED.values(), ids=PLANTED.keys())
def test_what_is_no_file_of_the_home_is_refused(guest: Guest, plant: Callable[[Guest, Path], None], says: str) -> None:
    elsewhere = guest.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "authorized_keys").write_text(OWN)
    plant(guest, elsewhere)
    answer = guest.run(allow_copy(user="dev", line=LINE))
    assert answer.returncode == 64, answer
    assert says in answer.stderr
    assert [path.name for path in elsewhere.iterdir()] == ["authorized_keys"]
    assert (elsewhere / "authorized_keys").read_text() == OWN


def test_what_an_earlier_run_or_the_user_left_is_removed_and_not_followed(guest: Guest) -> None:
    elsewhere = guest.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "new").write_text("kept")
    wrote(guest, f"{OWN}\n")
    (guest.keys.parent / ".vmclone-keys").symlink_to(elsewhere)
    assert guest.run(allow_copy(user="dev", line=LINE)).returncode == 0
    assert guest.keys.read_text() == f"{OWN}\n{LINE}\n"
    assert (elsewhere / "new").read_text() == "kept"
