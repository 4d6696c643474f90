"""Two hosts for a copy: real sshd processes on addresses of their own, each with a real user and home.

The users are made and removed here; the daemons run as root in the foreground, with their own keys and logs. Users
and ports are this process's own: a second run of these tests on the same machine must not meet the first.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vmclone_operator.homecopy.job import Host

SSHD = "/usr/sbin/sshd"
START_SECONDS = 10.0
_OURS = re.compile(r"vmclone-t(?P<pid>[0-9]+)-[a-z]+")


def run(*command: str, **options: object) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    return str(done.stdout)


def user_name(role: str) -> str:
    return f"vmclone-t{os.getpid()}-{role}"


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        return int(server.getsockname()[1])


def remove_users_of_killed_runs() -> None:
    for entry in pwd.getpwall():
        found = _OURS.fullmatch(entry.pw_name)
        if found and not Path(f"/proc/{found['pid']}").exists():
            run("userdel", entry.pw_name)


def make_key(path: Path) -> str:
    """Make an ed25519 key and return its public half without comment."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    kind, key, *_ = path.with_suffix(".pub").read_text().split()
    return f"{kind} {key}"


def _parent(entry: Path) -> tuple[int, str]:
    try:
        name, _, rest = (entry / "stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return 0, ""
    return int(rest.split()[1]), name.partition("(")[2]


@dataclass
class SshHost:
    """A user, a home and the sshd in front of them."""

    folder: Path
    user: str
    address: str
    port: int
    options: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    """What starts the daemon, for a host behind a network of its own."""
    host_key: str = ""
    _daemon: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def create(self) -> None:
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self._remove_user()
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
        command = [*self.prefix, SSHD, "-D", "-f", str(self.folder / "sshd_config"), "-E", str(self.folder / "log")]
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

    def folders_in_tmp(self) -> list[Path]:
        """Return what the user has where the source's program works."""
        uid = pwd.getpwnam(self.user).pw_uid
        found = []
        for path in Path("/tmp").glob("vmclone-home-*"):  # noqa: S108  - where the program looks for its own
            with suppress(FileNotFoundError):
                found += [path] if path.lstat().st_uid == uid else []
        return found

    def kill(self) -> None:
        """Kill the daemon and every session at once, as when the machine's network goes away under them."""
        assert self._daemon
        parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        ours = {self._daemon.pid}
        while more := {pid for pid, (parent, name) in parents.items() if parent in ours and name == "sshd"} - ours:
            ours |= more
        for pid in ours:
            with suppress(ProcessLookupError):  # a session may end by itself meanwhile
                os.kill(pid, signal.SIGKILL)
        self._daemon.wait()
        self._daemon = None

    def end_processes(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Signal what still runs as the user, by process id."""
        uid = pwd.getpwnam(self.user).pw_uid
        for entry in Path("/proc").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                if entry.name.isdigit() and entry.stat().st_uid == uid:
                    os.kill(int(entry.name), how)

    def processes(self) -> list[str]:
        """Return the commands that run as the user."""
        uid = pwd.getpwnam(self.user).pw_uid
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                if entry.name.isdigit() and entry.stat().st_uid == uid:
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")[:200])
        return found

    def remove(self) -> None:
        self.stop()
        self._remove_user()

    def _remove_user(self) -> None:
        if any(entry.pw_name == self.user for entry in pwd.getpwall()):
            self.end_processes()
            run("userdel", self.user)

    def host(self) -> Host:
        return Host(address=self.address, port=self.port, user=self.user, host_keys=(self.host_key,))
