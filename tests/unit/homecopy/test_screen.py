"""Looking through many texts at once never changes a verdict: it is that of every key shape tried on every text."""

from __future__ import annotations

import io
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.canaries import CONTENTS

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.source import screen
from vmclone_operator.homecopy.source.scan import Scan
from vmclone_operator.homecopy.source.screen import Screen
from vmclone_operator.homecopy.source.signatures import is_binary

SIGNATURES = floor().rules["signatures"]
ANCHORS = sorted({anchor for document in SIGNATURES for anchor in document["anchors"]})
FILES = 100
NEAR_SECRETS = [*ANCHORS, "://", "https://host/path@2", "mail@example.com", "://a:pass@b", "BEGIN PRIVATE KEY"]


def text(letters: random.Random) -> bytes:
    """Return a text, most of them long enough to be looked through with others, with what may be a secret in it."""
    kinds = ["plain", "words", "=", ":", "x_y", "\n", "\u00fc"]
    words = letters.choices(kinds, k=letters.randrange(6000))
    for _ in range(letters.randrange(3)):
        words.insert(letters.randrange(len(words) + 1), letters.choice(NEAR_SECRETS))
    if letters.random() < 0.3:
        words.insert(letters.randrange(len(words) + 1), letters.choice([*CONTENTS.values()]))
    whole = letters.choice(["", " "]).join(words)
    kind = letters.random()
    if kind < 0.1:
        return b"\xff\xfe" + whole.encode("utf-16-le")
    place = letters.randrange(16384)
    return whole.encode()[:place] + b"\0" + whole.encode()[place:] if kind < 0.3 else whole.encode()


def has_a_key_shape(data: bytes) -> bool:
    """Return what the filter means, in its plainest words."""
    if is_binary(data[:8192]):
        return False
    plain = data.decode("utf-16").encode() if data[:2] == b"\xff\xfe" else data
    return any(re.search(document["pattern"].encode(), plain) for document in SIGNATURES)


def home_of_texts(home: Path, *, seed: int) -> set[str]:
    """Fill a home and return the names that must stay behind."""
    letters, kept_back = random.Random(seed), set()  # noqa: S311  - the same texts in every run
    for number in range(FILES):
        data, name = text(letters), f"{number % 7} folder/-{number}\n*"
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_bytes(data)
        kept_back |= {name} if has_a_key_shape(data) else set()
    return kept_back


def left_out(home: Path) -> set[str]:
    output = io.BytesIO()
    Scan(os.fsencode(home), {"rules": floor().rules, "excludes": [], "allow": []}, output).run(["."])
    listed = {os.fsdecode(name)[2:] for name in output.getvalue().split(b"\0") if name}
    return {str(path.relative_to(home)) for path in home.rglob("*")} - listed


def other_grep(folder: Path, script: str) -> dict[str, str]:
    """Return the environment of a source whose grep is another program."""
    folder.mkdir()
    (folder / "grep").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "grep").chmod(0o755)
    return {"PATH": str(folder)}


def in_files(script: str) -> str:
    """Return a grep that counts lines as ours does, and is another one for files."""
    return f'case " $* " in *" -c "*) {COUNTS} "$@";; esac\n{script}'


def with_options(cases: str) -> str:
    """Return a grep that takes some options for others, or drops them."""
    known = f'case "$option" in {cases} *) set -- "$@" "$option";; esac'
    return in_files(f"for option; do shift; {known}; done; {COUNTS} " + '"$@"')


COUNTS = f"exec {shutil.which('grep')}"
NAMES = 'while [ "$1" != -- ]; do shift; done; shift; printf "%s\\0" "$@"'
GREPS = {
    "none": None,
    "one that finds nothing": "exit 1",
    "one that finds everything": f"echo {len(ANCHORS)}",
    "one that knows no such option": "exit 2",
    "one that finds nothing in files": in_files("exit 1"),
    "one that finds nothing in files and is content": in_files("exit 0"),
    "one that prints no names of files": in_files("printf 'x\\0'"),
    "one that ends names by newline": with_options("-Z) ;;"),
    "one that takes -L for -l and -l for -L": with_options('-L) set -- "$@" -l;; -l) set -- "$@" -L;;'),
    "one that prints all names": in_files(NAMES),
    "one that prints all names and fails": in_files(f"{NAMES}; exit 2"),
    "one that prints what it could read and fails": in_files(f'{shutil.which("grep")} "$@"; exit 2'),
}


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a directory": os.mkdir,
    "nothing, or nothing any more": lambda _: None,
    "a link to itself": lambda path: path.symlink_to(path),
    "a device": lambda path: path.symlink_to("/dev/null"),
    "a file that opens and cannot be read": lambda path: path.symlink_to("/proc/self/mem"),
}
BINARIES: dict[str, tuple[bytes, bool]] = {
    "without a key shape": (b"\0\xff\n" * 5000, True),
    "with one behind its zeros": (b"\0\xff\n" * 5000 + CONTENTS["an AWS key id"].encode(), False),
}


@pytest.mark.parametrize("seed", range(3))
def test_the_verdict_is_that_of_every_shape_on_every_text(seed: int, tmp_path: Path) -> None:
    kept_back = home_of_texts(tmp_path, seed=seed)
    assert len(kept_back) > FILES / 10
    assert left_out(tmp_path) == kept_back


@pytest.mark.parametrize("script", GREPS.values(), ids=GREPS.keys())
def test_the_verdict_does_not_depend_on_the_sources_grep(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"PATH": str(tmp_path)} if script is None else other_grep(tmp_path / "bin", script)
    monkeypatch.setattr(screen, "_ENVIRONMENT", other)
    (tmp_path / "home").mkdir()
    assert left_out(tmp_path / "home") == set()
    assert home_of_texts(tmp_path / "home", seed=7) == left_out(tmp_path / "home")


@pytest.mark.parametrize("what", CONTENTS)
def test_no_text_with_a_key_shape_is_cleared(what: str, tmp_path: Path) -> None:
    padding = "plain words\n" * 5000
    for name, content in (("begins", CONTENTS[what] + padding), ("ends", padding + CONTENTS[what])):
        (tmp_path / name).write_text(content)
    (tmp_path / "plain").write_text(padding)
    paths = [b"begins", b"ends", b"plain"]
    assert Screen(os.fsencode(tmp_path), SIGNATURES).clear(paths) == {b"plain"}


@pytest.mark.parametrize("script", GREPS.values(), ids=GREPS.keys())
def test_a_grep_that_is_another_program_clears_nothing(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"PATH": str(tmp_path)} if script is None else other_grep(tmp_path / "bin", script)
    monkeypatch.setattr(screen, "_ENVIRONMENT", other)
    (tmp_path / "plain").write_text("plain words\n")
    assert Screen(os.fsencode(tmp_path), SIGNATURES).clear([b"plain"]) == frozenset()


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES.keys())
@pytest.mark.parametrize("beside", [[], [b"plain"]], ids=["alone", "beside a text"])
def test_what_cannot_be_read_as_a_file_is_never_cleared(
    make: Callable[[Path], object], beside: list[bytes], tmp_path: Path
) -> None:
    make(tmp_path / "it")
    (tmp_path / "plain").write_text("plain words\n")
    assert Screen(os.fsencode(tmp_path), SIGNATURES).clear([b"it", *beside]) <= set(beside)


@pytest.mark.parametrize(("content", "cleared"), BINARIES.values(), ids=BINARIES.keys())
def test_a_binary_is_cleared_only_when_it_was_read_to_its_end(content: bytes, cleared: bool, tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(content)
    assert Screen(os.fsencode(tmp_path), SIGNATURES).clear([b"it"]) == ({b"it"} if cleared else set())


def test_an_anchor_of_one_letter_that_is_not_known_leaves_everything_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("plain")
    unknown = [*SIGNATURES, {"name": "x", "anchors": ["%"], "pattern": "%"}]
    assert Screen(os.fsencode(tmp_path), unknown).clear([b"plain"]) == frozenset()
