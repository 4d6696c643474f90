"""A file is as git has it only when the checked-out commit has its content; a name in the index proves nothing."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vmclone_operator.homecopy.source.git_index import TrackedFiles
from vmclone_operator.homecopy.source.patterns import Patterns

NAME = "app/secrets.yaml"


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "app").mkdir(parents=True)
    git(work, "init")
    (work / NAME).write_text("password: \n")
    (work / "other").write_text("x\n" * 500)
    git(work, "add", ".")
    git(work, "commit", "-m", "a template")
    return work


def modified(work: Path) -> None:
    (work / NAME).write_text("password: filled in\n")


def overlooked(work: Path) -> None:
    modified(work)
    git(work, "update-index", "--skip-worktree", NAME)


def assumed_unchanged(work: Path) -> None:
    modified(work)
    git(work, "update-index", "--assume-unchanged", NAME)


def staged(work: Path) -> None:
    modified(work)
    git(work, "add", NAME)


def new_and_staged(work: Path) -> None:
    git(work, "rm", "--cached", NAME)
    git(work, "commit", "-m", "gone")
    git(work, "add", NAME)


def intended(work: Path) -> None:
    git(work, "rm", "--cached", NAME)
    git(work, "commit", "-m", "gone")
    git(work, "add", "--intent-to-add", NAME)


def a_link(work: Path) -> None:
    (work / "real").write_text((work / NAME).read_text())
    (work / NAME).unlink()
    (work / NAME).symlink_to(work / "real")


def without_objects(work: Path) -> None:
    (work / ".git/objects").rename(work / ".git/elsewhere")


JUDGED = (modified, overlooked, assumed_unchanged, staged, new_and_staged, intended, a_link, without_objects)


def packed(work: Path) -> None:
    for number in range(20):
        (work / "other").write_text("x\n" * 500 + f"{number}\n")
        git(work, "commit", "-am", "more")
    git(work, "gc", "--aggressive")


def detached(work: Path) -> None:
    git(work, "checkout", "--detach")


def without_index(work: Path) -> None:
    (work / ".git/index").unlink()


KNOWN = (lambda _: None, packed, detached, without_index)


@pytest.mark.parametrize("change", JUDGED, ids=lambda change: change.__name__)
def test_what_the_commit_does_not_have_is_not_known(change: Callable[[Path], None], repository: Path) -> None:
    change(repository)
    assert not TrackedFiles(os.fsencode(repository.parent)).has(b"work/" + NAME.encode())


@pytest.mark.parametrize("change", KNOWN, ids=["committed", "packed", "detached", "without an index"])
def test_what_the_commit_has_is_known(change: Callable[[Path], None], repository: Path) -> None:
    change(repository)
    assert TrackedFiles(os.fsencode(repository.parent)).has(b"work/" + NAME.encode())
    assert TrackedFiles(os.fsencode(repository.parent)).has(b"work/other")


@pytest.mark.parametrize("pattern", ["*" * 24 + "X", "*a" * 12 + "b", "**/" * 12 + "X", "?*" * 20 + "[!a]"])
def test_a_pattern_of_many_stars_takes_no_longer_than_another(pattern: str) -> None:
    started = time.process_time()
    assert not Patterns([pattern]).match(b"a" * 255)
    assert time.process_time() - started < 1
