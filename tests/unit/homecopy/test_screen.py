"""Looking through many texts at once never changes a verdict: it is that of every key shape tried on every text."""

from __future__ import annotations

import io
import os
import random
import re
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


GREPS = {
    "none": None,
    "one that finds nothing": "exit 1",
    "one that finds everything": 'echo "17"',
    "one that knows no such option": "exit 2",
    "one that finds nothing in files": f'case "$*" in *" -c "*) echo {len(ANCHORS)};; *) exit 2;; esac',
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


def test_what_cannot_be_read_as_a_file_is_never_cleared(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    cleared = Screen(os.fsencode(tmp_path), SIGNATURES).clear([b"fifo", b"missing"])
    assert b"missing" not in cleared


def test_an_anchor_of_one_letter_that_is_not_known_leaves_everything_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("plain")
    unknown = [*SIGNATURES, {"name": "x", "anchors": ["%"], "pattern": "%"}]
    assert Screen(os.fsencode(tmp_path), unknown).clear([b"plain"]) == frozenset()
