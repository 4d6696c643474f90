"""A scrub comes to its end whatever lies in a home: deep nests, endless texts, pipes, things that change under it."""

# Folders are made and listed by handles and from inside: no path reaches into a deep nest.
# ruff: noqa: PTH102, PTH208

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import source_disk
from tests.support.canaries import WORD
from tests.support.source_disk import request, scrub

from vmclone_operator.homecopy.clone.alarm import Alarm, NoEnd
from vmclone_operator.homecopy.clone.erase import overwrite, remove
from vmclone_operator.homecopy.clone.walk import Entry, Mounts, Place, Rules, open_folder, walk

NO_MOUNTS = Mounts(b"")
OWNERS = request(paths=source_disk.OWNERS_PATHS)
TOKEN = "glpat-" + "a1b2c3d4e5f6g7h8i9j0"


class Everything(Rules):
    """Takes all that is not called `stays`; `then` is done once, when the walk looks at a name."""

    def __init__(self, name: bytes = b"", then: tuple[Path, Path, Path] | None = None) -> None:
        self._name, self._swap = name, then

    def takes(self, entry: Entry, *, above: bool) -> bool:  # noqa: ARG002
        if entry.name == self._name and self._swap:
            (place, aside, instead), self._swap = self._swap, None
            place.rename(aside)
            place.symlink_to(instead)
        return entry.name != b"stays"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    source_disk.fill(tmp_path, (), every=200)
    made = tmp_path / "home/dev"
    made.mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def nest() -> Iterator[Path]:
    """A home with 1,040 folders in one another, a secret and an ordinary text in the last; no path reaches so far.

    Nor does pytest, which removes its own folders with a function that calls itself.
    """
    top = Path(tempfile.mkdtemp(prefix="vmclone-nest-"))
    source_disk.fill(top, (), every=200)
    before, home = Path.cwd(), top / "home/dev"
    home.mkdir(parents=True)
    os.chdir(home)
    try:
        for _ in range(1040):
            os.mkdir("nest")
            os.chdir("nest")
        Path("id_rsa").write_text(WORD)
        Path("notes.txt").write_text(f"{TOKEN} {WORD}\n")
        Path("stays.txt").write_text("x\n")
        os.chdir(before)
        yield home
    finally:
        os.chdir(before)
        subprocess.run(["rm", "-rf", str(top)], check=True)


def in_nest(home: Path) -> list[str]:
    """Return the names at the bottom; the walk is the test's own."""
    handle = os.open(home, os.O_RDONLY)
    for _ in range(1040):
        inner = os.open("nest", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    names = sorted(os.listdir(handle))
    os.close(handle)
    return names


@pytest.mark.parametrize("engine", source_disk.ENGINES)
def test_f15_a_nest_deeper_than_400_folders_is_scrubbed_like_any_other(nest: Path, engine: str) -> None:
    answer = source_disk.ENGINES[engine](nest.parent.parent, request())
    assert (answer["scrub_state"], answer["scrub_left"]) == ("done", "0"), answer
    assert in_nest(nest) == ["stays.txt"]


def test_a_nest_that_goes_altogether_leaves_nothing(nest: Path) -> None:
    (nest / "nest").rename(nest / ".ssh")
    assert scrub(nest.parent.parent, request())["scrub_state"] == "done"
    assert os.listdir(nest) == []


def test_a_message_names_the_path_and_cuts_one_that_is_too_long(nest: Path) -> None:
    """A folder of the nest is moved while it is scrubbed: the way back up would lead elsewhere."""
    top, aside, instead = nest / "nest", nest / "moved", nest
    moved = Everything(b"id_rsa", (top / "nest/nest", aside, instead))
    with pytest.raises(OSError, match="moved while") as raised:
        for _ in walk(Place(os.fsencode(nest), None, moved), NO_MOUNTS):
            pass
    assert raised.value.errno == errno.ESTALE
    assert os.fsdecode(raised.value.filename).startswith(f"{nest}/nest/nest")


def test_f2_an_expression_that_comes_to_no_end_is_ended() -> None:
    started = time.process_time()
    alarm = Alarm(0.2)
    with pytest.raises(NoEnd), alarm:
        re.match(rb"(?:a|a)*b", b"a" * 64)
    alarm.stop()
    assert time.process_time() - started < 5


def test_many_short_looks_never_ring() -> None:
    alarm = Alarm(0.05)
    until = time.process_time() + 0.5
    while time.process_time() < until:
        with alarm:
            re.match(rb"a*b", b"a" * 64)
    alarm.stop()


def test_an_alarm_does_not_kill_a_program_that_comes_to_its_end() -> None:
    program = """
from vmclone_operator.homecopy.clone.alarm import Alarm

class Late:
    def __del__(self, worked=range(3_000_000)):
        sum(worked)  # when Python is about to end, and heeds no signal any more

Alarm(0.01)
late = Late()
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_f2_a_file_without_end_is_named_with_what_to_do_and_the_rest_is_scrubbed(home: Path) -> None:
    (home / "endless.txt").write_text("ends-never" + "a" * 64)
    (home / "notes.txt").write_text(TOKEN)
    wanted = source_disk.with_shape(request(), "ends-never(?:a|a)*b", seconds=0.2)
    answer = scrub(home.parent.parent, wanted)
    assert answer["scrub_state"] == "failed"
    assert f"{home}/endless.txt: name it in spec.scrub.paths" in answer["scrub_error"]
    assert sorted(os.listdir(home)) == ["endless.txt"]


def test_a_file_without_end_that_the_owner_names_goes(home: Path) -> None:
    (home / "endless.txt").write_text("ends-never" + "a" * 64)
    wanted = source_disk.with_shape(request(paths=["/home/dev/endless.txt"]), "ends-never(?:a|a)*b", seconds=0.2)
    assert scrub(home.parent.parent, wanted)["scrub_state"] == "done"
    assert os.listdir(home) == []


def test_pipes_under_names_that_go_hold_nothing_and_block_nothing(home: Path) -> None:
    os.mkfifo(home / "id_rsa")
    os.mkfifo(home / "notes.txt")
    os.mkfifo(home / ".env")
    assert scrub(home.parent.parent, request())["scrub_state"] == "done"
    assert sorted(os.listdir(home)) == [".env", "id_rsa", "notes.txt"]


@pytest.mark.parametrize("part", [b"work", b"deep"], ids=["folder that is looked at", "folder inside it"])
def test_a_folder_that_is_swapped_for_a_link_leads_nowhere(tmp_path: Path, part: bytes) -> None:
    place, outside = tmp_path / "home", tmp_path / "outside"
    for folder in (place / "work/deep", outside / "deep"):
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("x")
    swapped = place / "work" if part == b"work" else place / "work/deep"
    target = outside if part == b"work" else outside / "deep"
    found = walk(Place(os.fsencode(place), None, Everything(part, (swapped, tmp_path / "aside", target))), NO_MOUNTS)
    for entry in found:
        if entry.is_file():
            overwrite(entry)
        remove(entry)
    assert (outside / "deep/a.txt").read_text() == "x"


def test_a_place_is_opened_without_following_a_link_in_any_part_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert open_folder(os.fsencode(tmp_path / "link/inner")) is None
    handle = open_folder(os.fsencode(tmp_path / "real/inner"))
    assert handle is not None
    os.close(handle)


def test_what_is_written_again_between_overwriting_and_unlinking_is_overwritten_again(tmp_path: Path) -> None:
    """Another name shows what is left in the file after it was unlinked."""
    (tmp_path / "secret").write_text(WORD)
    (tmp_path / "stays").hardlink_to(tmp_path / "secret")
    place = Place(os.fsencode(tmp_path), None, Everything())
    for entry in walk(place, NO_MOUNTS):
        overwrite(entry)
    (tmp_path / "secret").write_text(f"{WORD} late")
    for entry in walk(place, NO_MOUNTS):
        remove(entry)
    assert sorted(os.listdir(tmp_path)) == ["stays"]
    assert WORD.encode() not in (tmp_path / "stays").read_bytes()


def test_what_is_written_while_the_scrub_runs_goes_in_its_next_round(home: Path) -> None:
    """A hundred secrets appear one after the other beside the scrub; what it left at its end would be told."""
    root = home.parent.parent
    writer = source_disk.writing_secrets_into(home, seconds=1.0)
    answer = scrub(root, OWNERS)
    told = int(answer["scrub_left"])
    writer.join()
    assert (answer["scrub_state"] == "done") == (told == 0)
    assert scrub(root, OWNERS)["scrub_state"] == "done"
    assert source_disk.holding(root, WORD) == []
