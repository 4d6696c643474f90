"""Knows whose homes there are and where their keys lie, and takes the passwords that came with the source."""

# Runs in the clone, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, PTH104, PTH108, PTH112, PTH118, PTH119, PTH123, PTH207, PTH208

import glob
import os
import re
from typing import Iterator, List

_NO_HOME = re.compile(
    rb"/(?:(?:bin|sbin|lib\w*|usr|dev|proc|sys|run|boot|etc|var/run)(?:/.*)?"
    rb"|(?:home|srv|opt|mnt|media|tmp|nonexistent|var(?:/(?:lib|cache|spool|log|mail|tmp|www|empty|backups))?)?)\Z",
    re.DOTALL,
)
_NO_LOGIN = (b"nologin", b"false", b"sync", b"halt", b"shutdown", b"")
_FIRST_USER = 1000
_PASSWD_FIELDS = 7
_LEAST_FIELDS = 4
_UNUSABLE = re.compile(rb"[!*]*\Z")


def homes(root: bytes) -> List[bytes]:
    """Return every home, real paths, none inside another: accounts' own, and whatever lies in /home."""
    found = {b"/root"}
    for fields in _records(root + b"/etc/passwd"):
        if len(fields) >= _PASSWD_FIELDS and fields[5].startswith(b"/") and _is_person(fields):
            found.add(os.path.normpath(fields[5]))
    found.update(b"/home/" + name for name in _listed(root + b"/home"))
    real = {os.path.realpath(root + path) for path in found if not _NO_HOME.match(path)}
    folders = sorted(path for path in real if path.startswith(root + b"/") and os.path.isdir(path))
    return [path for path in folders if not any(path.startswith(other + b"/") for other in folders)]


def key_files(root: bytes, home_folders: List[bytes]) -> Iterator[bytes]:
    """Yield patterns of every file that sshd reads keys from: nobody whom the source let in gets into the clone."""
    named = [b".ssh/authorized_keys", b".ssh/authorized_keys2"]
    for file in [root + b"/etc/ssh/sshd_config", *glob.glob(root + b"/etc/ssh/sshd_config.d/*.conf")]:
        for words in (line.split() for line in _lines(file)):
            if words and words[0].lower() == b"authorizedkeysfile":
                named += [word.strip(b'"') for word in words[1:]]
    for name in dict.fromkeys(named):
        pattern = re.sub(rb"%[uU]", b"*", name).replace(b"%%", b"%")
        if pattern.startswith(b"/"):
            yield root + pattern
        elif pattern != b"none":
            for home in home_folders:
                yield os.path.join(glob.escape(home), re.sub(rb"%h/?", b"", pattern))


def lock_passwords(root: bytes) -> None:
    """Take every password hash; keys still let their owners in."""
    for name in (b"passwd", b"shadow", b"gshadow"):
        _rewrite(root + b"/etc/" + name, b"x" if name == b"passwd" else b"", empty_is_open=name != b"gshadow")


def _locked(line: bytes, elsewhere: bytes, *, empty_is_open: bool) -> bytes:
    fields = line.split(b":")
    if len(fields) < _LEAST_FIELDS or line.startswith((b"+", b"-", b"#")):
        return line
    value = fields[1]
    if (not empty_is_open) if not value else (value == elsewhere or _UNUSABLE.match(value)):
        return line
    # Not "!" for all: an sshd without PAM refuses such an account its keys too.
    fields[1] = b"!" if value.startswith(b"!") else b"*"
    return b":".join(fields)


def _rewrite(path: bytes, elsewhere: bytes, *, empty_is_open: bool) -> None:
    """Put a changed file in the place of the old one, whose blocks are then overwritten."""
    try:
        old = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with open(old, "r+b", buffering=0) as file:
        before = file.read()
        after = b"\n".join(_locked(line, elsewhere, empty_is_open=empty_is_open) for line in before.split(b"\n"))
        if after == before:
            return
        _put(path, after, os.fstat(old))
        os.pwrite(old, bytes(len(before)), 0)
        os.fsync(old)


def _put(path: bytes, data: bytes, like: os.stat_result) -> None:
    new = path + b".vmclone"
    if os.path.lexists(new):
        os.unlink(new)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), like.st_mode & 0o7777)
        os.fchown(file.fileno(), like.st_uid, like.st_gid)
        for name in os.listxattr(path):
            os.setxattr(new, name, os.getxattr(path, name))
        os.fsync(file.fileno())
    os.rename(new, path)


def _is_person(fields: List[bytes]) -> bool:
    number = int(fields[2]) if fields[2].isdigit() else 0
    shell = os.path.basename(fields[6].strip())
    return number >= _FIRST_USER or shell not in _NO_LOGIN or fields[5].startswith(b"/home/")


def _records(path: bytes) -> Iterator[List[bytes]]:
    for line in _lines(path):
        yield line.rstrip(b"\n").split(b":")


def _lines(path: bytes) -> List[bytes]:
    try:
        with open(path, "rb") as file:
            return file.readlines()
    except OSError:
        return []


def _listed(path: bytes) -> List[bytes]:
    try:
        return os.listdir(path)
    except OSError:
        return []
