"""Homes to copy, and pictures of them to compare: everything of a file that a copy has to keep."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

ODD = [
    "with space",
    "line\nbreak",
    "ünïcödé 文件",
    "-dash",
    "#hash",
    ";semi",
    "quote'\"",
    "back\\slash",
    "*star?",
    "tab\t",
]


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def ordinary_home(home: Path, *, files: int) -> None:
    """Fill a home with ordinary files of odd names, links, holes and empty folders."""
    for number in range(files):
        path = home / f"folder {number % 17}" / f"{ODD[number % len(ODD)]} {number}"
        write(path, f"{number}" * (number % 50))
        path.chmod((0o644, 0o600, 0o755, 0o640)[number % 4])
        os.utime(path, ns=(10**18 + number * 10**9 + 123, 10**18 + number * 10**9 + 123))
    write(home / "linked/first", "two names")
    os.link(home / "linked/first", home / "linked/second")
    (home / "empty/inside").mkdir(parents=True)
    (home / "to-python").symlink_to("/usr/bin/python3")
    (home / "dangling").symlink_to("nowhere")
    (home / "to-folder").symlink_to("linked")
    with (home / "sparse").open("wb") as file:
        file.truncate(4 * 1024 * 1024)
        file.seek(3 * 1024 * 1024)
        file.write(b"x")
    write(Path(os.fsdecode(os.fsencode(home) + b"/latin-\xe9")), "bytes")
    os.mkfifo(home / "fifo")
    age(home)


def age(home: Path) -> None:
    """Give folders and links times of long ago: rsync takes two within one second for the same and leaves them."""
    for path in sorted(home.rglob("*"), reverse=True):
        if path.is_dir() or path.is_symlink():
            os.utime(path, ns=(10**18 + 456, 10**18 + 456), follow_symlinks=False)


def picture(home: Path) -> dict[str, tuple[object, ...]]:
    """Return what every file, folder and symlink below a home is; fifos and sockets are never copied."""
    entries = {}
    groups: dict[int, str] = {}
    for path in sorted(home.rglob("*")):
        info = path.lstat()
        name = str(path.relative_to(home))
        what: tuple[object, ...] = (oct(info.st_mode), info.st_mtime_ns)
        if stat.S_ISREG(info.st_mode):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            group, sparse = groups.setdefault(info.st_ino, name), info.st_blocks * 512 < info.st_size
            what = (*what, digest, group, sparse)
        elif stat.S_ISLNK(info.st_mode):
            what = (*what, str(path.readlink()))
        elif not stat.S_ISDIR(info.st_mode):
            continue
        entries[name] = what
    return entries


def wait_for_bytes(home: Path, enough: int) -> None:
    deadline = time.monotonic() + 60
    while bytes_in(home) < enough:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def settled_bytes(home: Path) -> int:
    """Return what a cut copy left, once its receiver has ended."""
    before, now = -1, bytes_in(home)
    while before != now:
        time.sleep(0.5)
        before, now = now, bytes_in(home)
    return now


def bytes_in(home: Path) -> int:
    total = 0
    for folder, _, names in os.walk(home):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total
