"""A home is in use while it is read: what goes or turns into something else costs only itself, and is counted."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.source.folders import CHANGED, VANISHED, Folders
from vmclone_operator.homecopy.source.listing import DEEPEST, TOO_DEEP
from vmclone_operator.homecopy.source.scan import Scan

FILES = [f"file{number}" for number in range(20)]


def scanned(home: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> tuple[set[str], Any]:
    """Scan a home; `meanwhile` happens when the names of its first folder are read and nothing else."""
    names, listdir = io.BytesIO(), os.listdir
    waiting = [meanwhile]

    def read(folder: int) -> list[str]:
        found = listdir(folder)
        while waiting:
            waiting.pop()()
        return found

    monkeypatch.setattr(os, "listdir", read)
    scan = Scan(os.fsencode(home), {"rules": floor().rules, "excludes": [], "allow": []}, names)
    scan.run(["."])
    return {name[2:].decode() for name in names.getvalue().split(b"\0")[:-1]}, scan.summary()


def test_a_file_that_vanishes_while_its_folder_is_read_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FILES:
        (tmp_path / name).write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/inside").write_text("x")
    listed, summary = scanned(tmp_path, monkeypatch, (tmp_path / FILES[7]).unlink)
    assert listed == {*FILES, "folder", "folder/inside"} - {FILES[7]}
    assert summary["skipped"] == {VANISHED: 1}
    assert summary["first"] == {VANISHED: FILES[7]}


def test_a_file_that_turns_into_a_pipe_before_it_is_judged_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text"
    text.write_text("x")
    look = os.stat

    def stat(name: Any, **options: Any) -> os.stat_result:
        info = look(name, **options)
        if os.fsencode(name) == b"text":
            text.unlink()
            os.mkfifo(text)
        return info

    monkeypatch.setattr(os, "stat", stat)
    listed, summary = scanned(tmp_path, monkeypatch, lambda: None)
    assert (listed, summary["skipped"]) == (set(), {CHANGED: 1})


def test_folders_deeper_than_rsync_goes_are_counted_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(DEEPEST + 2):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    listed, summary = scanned(tmp_path, monkeypatch, lambda: None)
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # deeper than pytest can remove
    assert (len(listed), summary["skipped"]) == (DEEPEST, {TOO_DEEP: 2})
    assert summary["first"][TOO_DEEP] == "/".join("d" * (DEEPEST + 1))


def test_a_folder_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private/config").write_text("secret")
    (tmp_path / "work").symlink_to("private")
    folders = Folders(os.fsencode(tmp_path))
    with pytest.raises(OSError, match="work"):
        folders.open(b"work/config")
    assert os.read(folders.open(b"private/config"), 10) == b"secret"
    folders.close()
