"""The running lab as one value: where it is, what it started, how to act inside it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vmclone_lab import namespaces, processes, record
from vmclone_lab.commands import attempt, run
from vmclone_lab.errors import LabError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vmclone_lab.layout import Layout


class Lab:
    """State file plus paths; every change is on disk before the next step."""

    def __init__(self, paths: Layout) -> None:
        """Read the state file; processes of an earlier boot are forgotten."""
        self.paths = paths
        self.record = record.load(paths.record_file)
        if self.record.boot_id != processes.boot_id():
            self.record.processes.clear()
            self.record.boot_id = processes.boot_id()

    def save(self) -> None:
        """Store the record."""
        record.save(self.paths.record_file, self.record)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one command at a time change the lab; the record is read again under the lock."""
        self.paths.lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self.paths.lock_file.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self.record = Lab(self.paths).record
            yield

    def remember_directories(self, directories: list[str]) -> None:
        """Note directories about to be made outside the state, deepest first."""
        known = self.record.created_directories
        self.record.created_directories = [d for d in directories if d not in known] + known
        self.save()

    @property
    def holder_pid(self) -> int:
        """The process that keeps the mount namespace; an error when the lab is down."""
        if not self.is_running(namespaces.HOLDER):
            raise LabError("the lab is not up: run `hack/lab up`")
        return self.record.processes[namespaces.HOLDER].pid

    def is_running(self, name: str) -> bool:
        """Tell whether the daemon of this name runs."""
        known = self.record.processes.get(name)
        return known is not None and processes.is_alive(known)

    def start_bare(self, name: str, argv: Sequence[str]) -> None:
        """Start a daemon as it is, outside the namespaces."""
        self.record.processes[name] = processes.spawn(argv, self.log(name))
        self.save()

    def start(self, name: str, argv: Sequence[str]) -> None:
        """Start a daemon inside the lab unless it runs."""
        if self.is_running(name):
            return
        env = {**self.environment(), "XTABLES_LOCKFILE": str(self.paths.state / "xtables.lock")}
        words = [*self.entry(), *argv]
        self.record.processes[name] = processes.spawn(words, self.log(name), env=env)
        self.save()

    def entry(self, working_directory: str = "/") -> list[str]:
        """Return the words that put before a command run it inside the lab."""
        return namespaces.enter_argv(self.paths.netns_file, self.holder_pid, working_directory=working_directory)

    def adopt(self, name: str, pid: int) -> None:
        """Note a daemon that another process of the lab started."""
        self.record.processes[name] = processes.identify([pid])[0]
        self.save()

    def forget(self, name: str) -> None:
        """Drop a daemon from the record; it still ends with the lab's namespace."""
        self.record.processes.pop(name, None)
        self.save()

    def log(self, name: str) -> Path:
        """The log file of a daemon."""
        return self.paths.logs / f"{name}.log"

    def environment(self) -> dict[str, str]:
        """The environment of everything inside the lab."""
        kept = dict(os.environ)
        standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        kept["PATH"] = f"{self.paths.bin}:{kept.get('PATH', '')}:{standard}"
        kept["KUBECONFIG"] = self.record.external_kubeconfig or str(self.paths.kubeconfig)
        kept["LIBVIRT_DEFAULT_URI"] = "qemu:///system"
        return kept

    def run_inside(self, argv: Sequence[str | Path], *, input_text: str | None = None) -> str:
        """Run a command inside the lab and return its output."""
        words = [*self.entry(), *argv]
        return run(words, input_text=input_text, env=self.environment())

    def attempt_inside(
        self, argv: Sequence[str | Path], *, timeout_seconds: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the lab, whatever its exit status."""
        words = [*self.entry(), *argv]
        return attempt(words, env=self.environment(), timeout_seconds=timeout_seconds)
