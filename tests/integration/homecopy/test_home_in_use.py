"""A home changes while it is copied: nothing secret arrives by that, nothing is lost by it, no copy fails for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.homes import age, picture, wait_for_bytes, write

from vmclone_operator.homecopy.job import Transfer

pytestmark = pytest.mark.integration

CANARY = "canary-of-the-race"
TOKEN = "ghp_" + "a1B2" * 9
LARGE = 3 * 1024 * 1024


def a_folder_becomes_a_link(home: Path) -> None:
    (home / "work").rename(home / "work.old")
    (home / "work").symlink_to(".ssh")


def a_folder_becomes_the_secret_one(home: Path) -> None:
    (home / "work").rename(home / "work.old")
    (home / ".ssh").rename(home / "work")


def a_file_becomes_a_hard_link(home: Path) -> None:
    (home / "work/config").unlink()
    (home / "work/config").hardlink_to(home / ".ssh/config")


def a_large_file_becomes_a_hard_link(home: Path) -> None:
    (home / "work/large").unlink()
    (home / "work/large").hardlink_to(home / ".ssh/large")


def a_secret_is_moved(home: Path) -> None:
    (home / ".ssh/config").rename(home / "work/config")


def a_text_gets_a_token(home: Path) -> None:
    write(home / "work/config", f"{TOKEN} {CANARY}\n")


def a_new_text_gets_a_token_and_takes_the_place(home: Path) -> None:
    write(home / "work/new", f"{TOKEN} {CANARY}\n" + "line\n" * 4000)
    (home / "work/new").replace(home / "work/text")


RACES = [
    a_folder_becomes_a_link,
    a_folder_becomes_the_secret_one,
    a_file_becomes_a_hard_link,
    a_large_file_becomes_a_hard_link,
    a_secret_is_moved,
    a_text_gets_a_token,
    a_new_text_gets_a_token_and_takes_the_place,
]


def with_canaries(home: Path) -> None:
    write(home / ".ssh/config", CANARY)
    write(home / ".ssh/large", CANARY.encode() * (LARGE // len(CANARY)))
    write(home / "work/config", "harmless")
    write(home / "work/large", os.urandom(LARGE))
    write(home / "work/text", "line of text\n" * 3000)
    write(home / "other/file", "other")


def canaries_in(home: Path) -> list[str]:
    files = [Path(folder) / name for folder, _, names in os.walk(home) for name in names]
    return [str(path) for path in files if not path.is_symlink() and CANARY.encode() in path.read_bytes()]


@pytest.mark.parametrize("transfer", list(Transfer))
@pytest.mark.parametrize("race", RACES)
def test_no_secret_arrives_by_a_race(copying: Copying, race: Callable[[Path], None], transfer: Transfer) -> None:
    home = copying.source.home
    with_canaries(home)
    copying.source.own()
    copying.job = replace(copying.job, transfer=transfer)
    result = copying.run_while(lambda: race(home))
    assert canaries_in(copying.clone.home) == []
    assert result.reason == "Copied", (result.receipt["message"], result.receipt)
    assert (copying.clone.home / "other/file").read_text() == "other"
    assert not list(copying.clone.home.rglob(".vmclone-*"))


ALIASES = {
    "links are followed": "rsync alias -p -p --copy-links\n",
    "nothing is done": "rsync alias -l --info=help\n",
}


@pytest.mark.parametrize("alias", ALIASES.values(), ids=ALIASES.keys())
def test_an_alias_of_rsync_has_no_say(copying: Copying, alias: str) -> None:
    home = copying.source.home
    with_canaries(home)
    (home / "link").symlink_to(".ssh/config")
    write(home / ".popt", alias)
    write(copying.clone.home / ".popt", alias)
    age(home)
    for host in (copying.source, copying.clone):
        host.own()
    result = copying.run()
    assert result.reason == "Copied", (result.receipt["message"], result.receipt)
    assert canaries_in(copying.clone.home) == []
    shutil.rmtree(home / ".ssh")
    assert picture(copying.clone.home) == picture(home)


def vanishes(path: Path) -> None:
    path.unlink()


def becomes_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def becomes_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def becomes_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def becomes_unreadable(path: Path) -> None:
    path.chmod(0)


def loses_its_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


CHANGES = {
    vanishes: {"Vanished": 1},
    becomes_a_folder: {"Changed": 1},
    becomes_a_link: {"Changed": 1},
    becomes_a_pipe: {"Changed": 1},
    becomes_unreadable: {"Unreadable": 1},
    loses_its_folder: {"Vanished": 2},
}


@pytest.mark.parametrize(("change", "counted"), CHANGES.items(), ids=[change.__name__ for change in CHANGES])
def test_an_entry_that_changes_costs_only_itself(
    copying: Copying, change: Callable[[Path], None], counted: dict[str, int]
) -> None:
    home = copying.source.home
    for number in range(20):
        write(home / f"work/file{number}", f"{number}")
    write(home / "work/inside/one", "one")
    copying.source.own()
    result = copying.run_while(lambda: change(home / "work/inside/one"))
    assert (result.reason, result.receipt["skipped"]) == ("Copied", counted), result.receipt
    assert "work/inside" in result.receipt["message"]
    assert result.receipt["files"] == 20
    assert len(list((copying.clone.home / "work").glob("file*"))) == 20
    assert not (copying.clone.home / "work/inside/one").exists()


def test_a_pipe_in_the_place_of_a_file_ends_soon_and_costs_only_itself(copying: Copying) -> None:
    """Rsync has its list by then and opens what it listed: a pipe would hold it for ever."""
    home = copying.source.home
    write(home / "a", os.urandom(4 * 1024 * 1024))
    write(home / "b", "becomes a pipe")
    write(home / "c", "c")
    copying.source.own()
    copying.job = replace(copying.job, bandwidth_kib=1024)
    relay = copying.start()
    wait_for_bytes(copying.clone.home, 1024 * 1024)
    becomes_a_pipe(home / "b")
    copying.source.own()
    result = copying.finish(relay)
    assert (result.reason, result.receipt["skipped"]) == ("Copied", {"Changed": 1}), result.receipt["message"]
    assert sorted(path.name for path in copying.clone.home.iterdir()) == ["a", "c"]


@pytest.mark.parametrize("size", [100_000, LARGE], ids=["small", "large"])
def test_a_file_that_grows_arrives(copying: Copying, size: int) -> None:
    home = copying.source.home
    write(home / "log", b"l" * size)
    copying.source.own()

    def grow() -> None:
        with (home / "log").open("ab") as log:
            log.write(b"more" * 1000)

    result = copying.run_while(grow)
    assert (result.reason, result.receipt["skipped"], result.receipt["files"]) == ("Copied", {}, 1), (
        result.stderr,
        result.receipt["message"],
    )
    assert (copying.clone.home / "log").read_bytes() == (home / "log").read_bytes()


def test_what_a_cut_copy_brought_and_is_a_secret_by_now_is_removed(copying: Copying) -> None:
    home = copying.source.home
    write(home / "work/config", "harmless" * 1000)
    write(home / "big", os.urandom(6 * 1024 * 1024))
    write(copying.clone.home / "mine", "of the clone")
    for host in (copying.source, copying.clone):
        host.own()
    copying.job = replace(copying.job, bandwidth_kib=1024)
    relay = copying.start()
    while not (copying.clone.home / "work/config").exists():
        assert relay.poll() is None
    copying.kill(relay)
    write(home / "work/config", f"{TOKEN}\n")
    copying.job = replace(copying.job, bandwidth_kib=0)
    assert copying.run().reason == "Copied"
    assert not (copying.clone.home / "work/config").exists()
    assert (copying.clone.home / "mine").read_text() == "of the clone"
    assert not list(copying.clone.home.rglob(".vmclone-*"))
