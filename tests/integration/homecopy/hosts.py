"""Two hosts for a copy: real sshd processes on addresses of their own, each with a real user and home.

The users are made and removed here; the daemons run as root in the foreground, with their own keys and logs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from vmclone_operator.homecopy.job import Host

SSHD = "/usr/sbin/sshd"
START_SECONDS = 10.0


def run(*command: str, **options: object) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    return str(done.stdout)


def make_key(path: Path) -> str:
    """Make an ed25519 key and return its public half without comment."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    kind, key, *_ = path.with_suffix(".pub").read_text().split()
    return f"{kind} {key}"


@dataclass
class SshHost:
    """A user, a home and the sshd in front of them."""

    folder: Path
    user: str
    address: str
    port: int
    options: tuple[str, ...] = ()
    host_key: str = ""
    _daemon: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def create(self) -> None:
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self._remove_user()  # a killed run leaves its own
        run("useradd", "-M", "-d", str(self.home), "-s", "/bin/bash", "-p", "*", self.user)
        self.empty_home()
        self.new_host_key()

    def empty_home(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(mode=0o750)
        self.own()

    def own(self) -> None:
        run("chown", "-hR", f"{self.user}:{self.user}", str(self.home))

    def new_host_key(self) -> None:
        for old in self.folder.glob("host_key*"):
            old.unlink()
        self.host_key = make_key(self.folder / "host_key")

    def authorize(self, line: str) -> None:
        (self.folder / "authorized_keys").write_text(line + "\n")
        (self.folder / "authorized_keys").chmod(0o644)

    def start(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        lines = [
            f"ListenAddress {self.address}:{self.port}",
            f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            f"PidFile {self.folder}/pid",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            *self.options,
        ]
        (self.folder / "sshd_config").write_text("\n".join([*lines, ""]))
        command = [SSHD, "-D", "-f", str(self.folder / "sshd_config"), "-E", str(self.folder / "log")]
        self._daemon = subprocess.Popen(command)
        self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self._daemon:
            self._daemon.terminate()
            self._daemon.wait()
            self._daemon = None

    def end_processes(self) -> None:
        """End what still runs as the user, by process id."""
        uid = pwd.getpwnam(self.user).pw_uid
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and entry.stat().st_uid == uid:
                    os.kill(int(entry.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                continue

    def remove(self) -> None:
        self.stop()
        self._remove_user()

    def _remove_user(self) -> None:
        if any(entry.pw_name == self.user for entry in pwd.getpwall()):
            self.end_processes()
            run("userdel", self.user)

    def host(self) -> Host:
        return Host(address=self.address, port=self.port, user=self.user, host_keys=(self.host_key,))
