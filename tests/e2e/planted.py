"""What is put into the source's home before the demo: ordinary files of odd kinds, and secrets of every family."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.e2e.machines import Login
from tests.support.canaries import WORD, secret_files

ODD = "odd"
_PLANT = r"""
import os
os.makedirs('odd/empty/inside', exist_ok=True)
names = ['with space', 'line\nbreak', '\u00fcn\u00efc\u00f6d\u00e9', '-dash', '#hash', "quote'\""]
names += ['back\\slash', '*star?', 'tab\t']
for number in range(1000):
    folder = 'odd/folder %d' % (number % 17)
    os.makedirs(folder, exist_ok=True)
    path = '%s/%s %d' % (folder, names[number % len(names)], number)
    with open(path, 'w') as file:
        file.write(str(number) * (number % 50))
    os.chmod(path, (0o644, 0o600, 0o755, 0o640)[number % 4])
    os.utime(path, ns=(10**18 + number * 10**9 + 123, 10**18 + number * 10**9 + 123))
if not os.path.exists('odd/second'):
    open('odd/first', 'w').write('two names')
    os.link('odd/first', 'odd/second')
    os.symlink('first', 'odd/link')
    os.symlink('nowhere', 'odd/dangling')
    with open('odd/sparse', 'wb') as file:
        file.truncate(4 << 20)
        file.seek(3 << 20)
        file.write(b'x')
"""
_PICTURE = r"""
import hashlib, json, os, stat
groups, seen = {}, {}
for folder, folders, files in os.walk('odd'):
    for name in folders + files:
        path = os.path.join(folder, name)
        info = os.lstat(path)
        what = [oct(info.st_mode), info.st_mtime_ns]
        if stat.S_ISREG(info.st_mode):
            what += [hashlib.sha256(open(path, 'rb').read()).hexdigest(), groups.setdefault(info.st_ino, path)]
            what += [info.st_blocks * 512 < info.st_size]
        elif stat.S_ISLNK(info.st_mode):
            what += [os.readlink(path)]
        seen[path] = what
print(json.dumps(seen, sort_keys=True))
"""


def plant(login: Login) -> None:
    """Fill the source's home; a second time changes nothing that matters."""
    feed(login, "python3 -", _PLANT.encode())
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, (_, content) in secret_files().items():
            entry = tarfile.TarInfo(path)
            data = content.encode("utf-8", "surrogateescape")
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
    # Its own way in must stay what it is.
    feed(login, "tar -x --no-same-owner --exclude=.ssh/authorized_keys -f -", archive.getvalue())


def picture(login: Login) -> dict[str, object]:
    """Return what every entry of the odd folder is, as its host shows it."""
    found: dict[str, object] = json.loads(feed(login, "python3 -", _PICTURE.encode()))
    return found


def secrets_in(login: Login) -> list[str]:
    """Return the files of a machine's homes that hold one of our secrets."""
    told = feed(login, f"sudo grep -rIl --exclude-dir=.cache {WORD} /home /root 2>/dev/null || true", b"")
    return told.splitlines()


def feed(login: Login, command: str, given: bytes) -> str:
    """Run a command on a machine with this on its standard input."""
    with tempfile.TemporaryDirectory() as folder:
        argv = login.argv(Path(folder) / "known_hosts", command)
        done = subprocess.run(argv, input=given, capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()
