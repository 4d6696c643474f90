"""What did not arrive as it was judged is looked at once more, and each entry of it is sent or counted."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.source.again import NAMES, SecondLook
from vmclone_operator.homecopy.source.scan import Scan

PARAMETERS: dict[str, Any] = {"rules": floor().rules, "excludes": [], "allow": []}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("a", "b", "large"):
        (tmp_path / "home" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "home" / name).write_text(name)
    with (tmp_path / "home/large").open("r+b") as file:
        file.truncate(3 * 1024 * 1024)
    return tmp_path / "home"


@pytest.fixture
def look(home: Path, tmp_path: Path) -> SecondLook:
    private = tmp_path / "private"
    private.mkdir()
    with (private / "list").open("wb") as names, (private / "judged").open("wb") as judged:
        scan = Scan(os.fsencode(home), PARAMETERS, names, judged)
        scan.run(["."])
    return SecondLook(scan, os.fsencode(home), PARAMETERS, str(private))


def test_what_is_still_there_is_sent_from_a_copy(look: SecondLook, tmp_path: Path) -> None:
    found = look.run([b"a"], last=False)
    assert (found["staged"], found["left"]) == (1, 0)
    assert (tmp_path / "private" / NAMES).read_bytes() == b"./a\0"
    assert (tmp_path / "private/again/a").read_text() == "a"


def test_entries_of_a_later_batch_are_known_too(look: SecondLook, home: Path) -> None:
    look.run([b"a"], last=False)
    (home / "b").unlink()
    found = look.run([b"b"], last=False)
    assert (found["left"], found["fewer"]["files"], found["skipped"]) == (1, 1, {"Vanished": 1})


def test_a_large_file_that_only_grew_is_taken_as_it_came(look: SecondLook, home: Path) -> None:
    with (home / "large").open("ab") as file:
        file.write(b"more")
    assert look.run([b"large"], last=False)["accepted"] == [base64.b64encode(b"large").decode()]
