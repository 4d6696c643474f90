"""The server's file locks: shared or exclusive, waited for, and given up with "got timeout".

Three kinds matter to a client (qemu-server src/PVE/API2/Qemu.pm clone_vm, e6352be; recordings 04 and 05):

1. the source's config: exclusive for a running source, shared for a stopped one, for as long as the clone runs;
2. the new VM's config: exclusive, as long;
3. the storage: while a volume is made or freed.

The config of the source carries no `lock` key meanwhile: only the file lock holds callers up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.doubles.pve.refusals import Refused
from tests.doubles.pve.timeline import Steps

CONFIG_SECONDS = 10.0
"""How long a config or storage lock is waited for (recordings 04, 21-36 and 11, 12)."""
CLONE_SECONDS = 1.0
"""How long a clone waits for its source (recording 04-clone-running, 17-20)."""
_LOOK_SECONDS = 0.2


def config_file(vmid: int) -> str:
    """Return the lock file of a VM's config."""
    return f"/var/lock/qemu-server/lock-{vmid}.conf"


def storage_file(storage: str) -> str:
    """Return the lock file of a storage."""
    return f"/var/lock/pve-manager/pve-storage-{storage}"


@dataclass(slots=True)
class Lock:
    """One holder of one file; whoever dies loses what he holds."""

    file: str
    owner: object
    shared: bool


def _nobody(line: str) -> None:
    """Drop what a lock says while it is waited for."""


@dataclass(slots=True)
class Locks:
    """Every file lock of a node."""

    held: list[Lock] = field(default_factory=list)

    def acquire(
        self,
        file: str,
        owner: object,
        *,
        seconds: float = CONFIG_SECONDS,
        shared: bool = False,
        log: Callable[[str], None] = _nobody,
    ) -> Steps[Lock]:
        """Wait for a lock; refuses with the server's text when it does not come free in time."""
        if not self._free(file, shared=shared):
            log("trying to acquire lock...")
            for _ in range(round(seconds / _LOOK_SECONDS)):
                yield _LOOK_SECONDS
                if self._free(file, shared=shared):
                    break
            if not self._free(file, shared=shared):
                raise Refused(f"can't lock file '{file}' - got timeout")
            log(" OK")
        lock = Lock(file, owner, shared)
        self.held.append(lock)
        return lock

    def release(self, lock: Lock) -> None:
        """Give a lock back."""
        self.held = [held for held in self.held if held is not lock]

    def release_all(self, owner: object) -> None:
        """Give back everything that somebody holds."""
        self.held = [held for held in self.held if held.owner is not owner]

    def _free(self, file: str, *, shared: bool) -> bool:
        return all(shared and held.shared for held in self.held if held.file == file)
