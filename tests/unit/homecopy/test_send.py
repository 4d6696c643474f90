"""rsync's arguments are constants, and what it does besides copying depends on what the scan saw."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.canaries import CERTIFICATE, CONTENTS

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.forced_command import forced_command
from vmclone_operator.homecopy.source.scan import Scan
from vmclone_operator.homecopy.source.send import rsync_command

LARGE_TEXT = "plain words\n" * 2000
SMALL_TEXTS: dict[str, str | bytes] = {f"{number}.txt": "plain words\n" * 200 for number in range(15)}
SECRET_TEXT = LARGE_TEXT + CONTENTS["an AWS key id"]
HOMES: dict[str, tuple[dict[str, str | bytes], bool]] = {
    "texts": ({"a.txt": LARGE_TEXT, "b.txt": LARGE_TEXT, "c.bin": b"\0" * 30_000}, True),
    "bytes with a text among them": ({"a.txt": LARGE_TEXT, "c.bin": b"\0" * 30_000}, False),
    "small texts": ({**SMALL_TEXTS, "c.bin": b"\0" * 30_000}, True),
    "small bytes with a text among them": ({"a.txt": "words", "b.bin": b"\0" * 1000, "c.bin": b"\0"}, False),
    "texts whose names may mean a secret": ({"ca.pem": CERTIFICATE * 200, "c.bin": b"\0" * 9000}, True),
    "bytes, and texts that stay behind": ({"a": SECRET_TEXT, "b": "words", "c.bin": b"\0" * 20_000}, False),
    "texts too large to be looked into": ({"a.txt": LARGE_TEXT * 50}, False),
    "nothing": ({}, False),
}


@pytest.mark.parametrize(("files", "mostly"), HOMES.values(), ids=HOMES.keys())
def test_the_scan_says_whether_a_home_is_mostly_text(
    files: dict[str, str | bytes], mostly: bool, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    scan = Scan(os.fsencode(tmp_path), {"rules": floor().rules, "excludes": [], "allow": []}, io.BytesIO())
    scan.run(["."])
    assert scan.summary()["mostlyText"] is mostly


@pytest.mark.parametrize(("other_bytes", "mostly"), [(20_000, True), (30_000, False)])
def test_a_text_with_several_names_counts_once(other_bytes: int, mostly: bool, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LARGE_TEXT)
    (tmp_path / "another name.txt").hardlink_to(tmp_path / "a.txt")
    (tmp_path / "c.bin").write_bytes(b"\0" * other_bytes)
    scan = Scan(os.fsencode(tmp_path), {"rules": floor().rules, "excludes": [], "allow": []}, io.BytesIO())
    scan.run(["."])
    assert scan.summary()["mostlyText"] is mostly


@pytest.mark.parametrize(("option", "word"), [("sparse", "-lptHS"), ("compress", "--compress")])
def test_what_the_scan_saw_decides(option: str, word: str) -> None:
    usual: dict[str, Any] = {"timeoutSeconds": 120}
    assert word not in rsync_command("/f", usual)
    assert word in rsync_command("/f", {**usual, option: True})


def test_the_clone_takes_the_letters_that_rsync_makes_of_them() -> None:
    taken = re.findall(r"\*\[!(\w+)\]\*\) no", forced_command())
    assert set("lHptRSz") <= set(taken[-1])
