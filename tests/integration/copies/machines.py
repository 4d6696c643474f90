"""Machines for home copies: each a real sshd on an address of its own, with a home of its own under one user's name.

A mount namespace gives every machine its own content at the user's one home path, as VMs of one image have it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.integration.homecopy.hosts import SshHost, make_key, run, user_name

BRIDGE = "vmclone-node"
_ENTER = 'mount --bind "$1" "$2" && shift 2 && exec "$@"\n'


class Machine(SshHost):
    """One machine; `shared` is the home path that all of them show."""

    def prepare(self, shared: Path) -> None:
        """Make its folder, its home, its first host key and its address."""
        self.folder.mkdir(mode=0o755)
        self.home.mkdir(mode=0o750)
        self.own()
        self.new_host_key()
        (self.folder / "authorized_keys").touch()
        enter = self.folder / "enter"
        enter.write_text(_ENTER)
        namespace = ("unshare", "--mount", "--propagation", "private")
        self.prefix = (*namespace, "/bin/sh", str(enter), str(self.home), str(shared))
        add = ["ip", "address", "replace", f"{self.address}/32", "dev", BRIDGE]
        subprocess.run(add, check=True, capture_output=True)

    def start(self) -> None:
        """Start its sshd; the one that answers must be this one."""
        super().start()
        daemon = self._daemon
        assert daemon is not None
        assert daemon.poll() is None, (self.folder / "log").read_text()

    def leave(self) -> None:
        """End it, and give the address back."""
        self.stop()
        subprocess.run(["ip", "address", "del", f"{self.address}/32", "dev", BRIDGE], check=True, capture_output=True)

    def bytes_there(self) -> int:
        """Return how much of a home has arrived, unfinished files included."""
        total = 0
        for path in self.home.rglob("*"):
            try:
                total += path.lstat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue  # renamed meanwhile
        return total


def make_user(folder: Path) -> tuple[str, Path]:
    """Make the user whose homes they are; return its name and home path."""
    name, home = user_name("dev"), folder / "shared"
    home.mkdir(mode=0o755)
    run("useradd", "-M", "-d", str(home), "-s", "/bin/bash", "-p", "*", name)
    return name, home


__all__ = ["Machine", "make_key", "make_user", "run"]
