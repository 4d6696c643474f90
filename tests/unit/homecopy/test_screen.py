"""Looking through many texts at once never changes a verdict: it is that of each text read and judged by itself."""

from __future__ import annotations

import io
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.canaries import CONTENTS

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.source import screen
from vmclone_operator.homecopy.source.scan import Scan
from vmclone_operator.homecopy.source.screen import Screen
from vmclone_operator.homecopy.source.signatures import Signatures

RULES = floor().rules
SCREENS = RULES["screens"]
SIGNATURES = Signatures(RULES)
ANCHORS = sorted({anchor for document in RULES["signatures"] for anchor in document["anchors"]})
FILES = 100
NEAR_SECRETS = [
    *ANCHORS,
    *(screen["finds"] for screen in SCREENS),
    "://",
    "https://host/path@2",
    "mail@example.com",
    "://a:pass@b",
    "BEGIN PRIVATE KEY",
]


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


def home_of_texts(home: Path, *, seed: int) -> set[str]:
    """Fill a home and return the names that must stay behind."""
    letters, kept_back = random.Random(seed), set()  # noqa: S311  - the same texts in every run
    for number in range(FILES):
        data, name = text(letters), f"{number % 7} folder/-{number}\n*"
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_bytes(data)
        kept_back |= {name} if SIGNATURES.found_in(data) else set()
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
NAMES = 'while [ "$1" != -- ]; do shift; done; shift; printf "%s\\0x\\n" "$@"'
GREPS = {
    "none": None,
    "one that finds nothing": "exit 1",
    "one that finds everything": f"echo {len(SCREENS) + 2}",
    "one that knows no such option": "exit 2",
    "one that finds nothing in files": in_files("exit 1"),
    "one that finds nothing in files and is content": in_files("exit 0"),
    "one that prints no names of files": in_files("printf 'x\\0'"),
    "one that ends names by newline": with_options("-Z) ;;"),
    "one that prints no names": with_options('-H) set -- "$@" -h;;'),
    "one that prints names alone": with_options('-H) set -- "$@" -l;;'),
    "one that finds the first in each file": with_options('-H) set -- "$@" -H -m1 -v;;'),
    "one that prints all names": in_files(NAMES),
    "one that prints all names and fails": in_files(f"{NAMES}; exit 2"),
    "one that prints what it could read and fails": in_files(f'{shutil.which("grep")} "$@"; exit 2'),
}


NO_FILES: dict[str, Callable[[Path], object]] = {
    "nothing, or nothing any more": lambda _: None,
    "a link to itself": lambda path: path.symlink_to(path),
    "a file that opens and cannot be read": lambda path: path.symlink_to("/proc/self/mem"),
}
BINARIES: dict[str, bytes] = {
    "a binary": b"\0\xff\n" * 5000,
    "with a key shape behind its zeros": b"\0\xff\n" * 5000 + CONTENTS["an AWS key id"].encode(),
    "of 16 bits a letter": "plain words".encode("utf-16-le"),
}


@pytest.mark.parametrize("seed", range(3))
def test_the_verdict_is_that_of_each_text_by_itself(seed: int, tmp_path: Path) -> None:
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
    for name, content in (("begins", CONTENTS[what] + "\n" + padding), ("ends", padding + CONTENTS[what])):
        (tmp_path / name).write_text(content)
    (tmp_path / "plain").write_text(padding)
    lines = Screen(os.fsencode(tmp_path), SCREENS).lines([b"begins", b"ends", b"plain"])
    assert lines.pop(b"plain") == []
    assert all(
        SIGNATURES.found_in_lines(found, (tmp_path / os.fsdecode(name)).read_bytes) for name, found in lines.items()
    )
    assert len(lines) == 2


@pytest.mark.parametrize("script", GREPS.values(), ids=GREPS.keys())
def test_a_grep_that_is_another_program_clears_nothing(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"PATH": str(tmp_path)} if script is None else other_grep(tmp_path / "bin", script)
    monkeypatch.setattr(screen, "_ENVIRONMENT", other)
    (tmp_path / "plain").write_text("plain words\n")
    assert Screen(os.fsencode(tmp_path), SCREENS).lines([b"plain"]) == {}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a FIFO", "a directory"])
def test_what_took_a_files_place_is_not_waited_for(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "it")
    (tmp_path / "plain").write_text("plain words\n")
    assert b"plain" in cleared([b"it", b"plain"], tmp_path)


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES.keys())
@pytest.mark.parametrize("beside", [[], [b"plain"]], ids=["alone", "beside a text"])
def test_what_cannot_be_read_as_a_file_is_never_cleared(
    make: Callable[[Path], object], beside: list[bytes], tmp_path: Path
) -> None:
    make(tmp_path / "it")
    (tmp_path / "plain").write_text("plain words\n")
    assert cleared([b"it", *beside], tmp_path) <= set(beside)


def cleared(paths: list[bytes], home: Path) -> set[bytes]:
    """Return the texts in which nothing is to be judged."""
    return {path for path, lines in Screen(os.fsencode(home), SCREENS).lines(paths).items() if not lines}


@pytest.mark.parametrize("content", BINARIES.values(), ids=BINARIES.keys())
def test_a_file_with_zeros_is_read_to_be_judged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(content)
    assert cleared([b"it"], tmp_path) == set()


@pytest.mark.parametrize("screen_", SCREENS, ids=lambda screen_: screen_["finds"])
def test_a_screen_says_the_same_to_grep_and_to_python(screen_: dict[str, str]) -> None:
    letters = random.Random(screen_["finds"])  # noqa: S311  - the same in every run
    lines = ["".join(letters.choices("aB1=:/@ \"'_-.x", k=letters.randrange(1, 24))) for _ in range(20_000)]
    lines += [other["finds"] for other in SCREENS]
    command = ["grep", "-nE", "-e", screen_["expression"]]
    printed = subprocess.run(
        command, input="\n".join(lines), env={"LC_ALL": "C"}, capture_output=True, text=True, check=True
    ).stdout
    found = {int(line.partition(":")[0]) - 1 for line in printed.splitlines()}
    assert found == {number for number, line in enumerate(lines) if re.search(screen_["expression"], line)}


@pytest.mark.parametrize("piece", [*(screen["finds"] for screen in SCREENS), "0a", "Aa", "=a-", "://a", "a" * 64])
def test_a_text_made_to_be_slow_is_read_once(piece: str) -> None:
    text = (piece * (200_000 // len(piece))).encode()
    started = time.process_time()
    SIGNATURES.found_in(text)
    assert time.process_time() - started < 4
