"""What outlives a killed operator in tests over real libvirt, and where their faults strike.

Every write that libvirt is asked for passes a fence, and that is where faults strike: before it, or after it
at the next fence or at the end of the verb, whichever comes first. Copies run in threads that no verb waits
for, so what strikes after one strikes where it ends.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import libvirt

from vmclone_operator.domain.backend import Seed
from vmclone_operator.domain.errors import BackendUnreachable
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Killed, Point
from vmclone_operator.providers.fake.guest import Guest, host_key
from vmclone_operator.providers.libvirt.session import LibvirtSession

_VERB_OF_COPY = {"copy_disks": "freeze", "_copy": "start_clone"}
"""Who copies in a thread of its own, and the verb that asked for it."""
_GATE_SECONDS = 30.0
COPY_PATIENCE_SECONDS = 5.0
"""How long a copy may take in real time; simulated time would run out on it."""


def _open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


def _source_guest() -> Guest:
    return Guest(machine_id="5" * 32, hostname="golden-dev", host_key=host_key("golden-dev"))


@dataclass
class Host:
    """What outlives an operator: the guests, the count of what was really made, and the fault that is due."""

    schedule: FaultSchedule
    clock: Callable[[], float]
    guests: dict[str, Guest] = field(default_factory=dict)
    """By incarnation, of the clones that are switched on."""
    source_guest: Guest = field(default_factory=_source_guest)
    """Who is on the source's disk: a clone of it is the same at first."""
    seeds: dict[str, Seed] = field(default_factory=dict)
    """By incarnation, what cloud-init finds in clones of a golden image."""
    defines: Counter[str] = field(default_factory=Counter)
    boots: Counter[str] = field(default_factory=Counter)
    sessions: list[LibvirtSession] = field(default_factory=list)
    ledger: set[str] = field(default_factory=set)
    """The disks that the operator recorded as complete, by volume name."""
    copied_again: list[str] = field(default_factory=list)
    """Disks in the ledger whose copy was begun all the same."""
    simulates_guests: bool = True
    """False: clones are really switched on, and boot what is on their disks, which is nothing."""
    switches_clones: bool = False
    """Clones are really switched on and off; whether their guests are simulated is another matter."""
    asks_for_agent: bool = False
    """Whether preflight looks for the guest agent that is simulated."""
    copies: threading.Event = field(default_factory=_open_gate)
    """Cleared, copies stay in mid-work: none ends, and nobody waits for one."""
    copying: threading.Event = field(default_factory=threading.Event)
    """Set once a copy is in mid-work."""
    verb: str = ""
    incarnation: str = ""
    _due: Fault | None = None
    _due_at_end: dict[int, Fault] = field(default_factory=dict)
    """By the thread whose copy has to end first."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fence(self, process: int) -> None:
        """Count one write that is about to happen, and let its fault strike; called from any thread."""
        caller = inspect.stack(context=0)[2].function
        with self._lock:
            self.schedule.check_alive(process)
            self.settle()
            point = Point(
                index=len(self.schedule.trace),
                verb=_VERB_OF_COPY.get(caller, self.verb),
                call=caller,
                target="",
                writes=True,
            )
            self.schedule.trace.append(point)
            self._strike(point)
            if caller == "_make":
                self.defines[self.incarnation] += 1

    def _strike(self, point: Point) -> None:
        fault = self.schedule.choose(point)
        if fault is None:
            return
        self.schedule.struck.append((point, fault))
        if fault.kind is FaultKind.FAIL:
            raise BackendUnreachable(f"the connection broke before {point}")
        if fault.kind is FaultKind.KILL_BEFORE:
            self._kill(f"before {point}")
        if fault.meanwhile is not None:
            fault.meanwhile()
        elif point.call in _VERB_OF_COPY:
            self._due_at_end[threading.get_ident()] = fault
        else:
            self._due = fault

    def waits(self, since: float) -> bool:
        """Return whether to wait any longer, in real time, for libvirt's copies."""
        return self.copies.is_set() and not self.schedule.killed and time.monotonic() - since < COPY_PATIENCE_SECONDS

    def settle(self) -> None:
        """Let the fault strike that follows the last write."""
        fault, self._due = self._due, None
        if fault is not None and fault.kind is FaultKind.LOSE_REPLY:
            raise BackendUnreachable("the connection broke after the last write")
        if fault is not None:
            self._kill("after the last write")

    def _kill(self, when: str) -> None:
        self.schedule.kill()
        raise Killed(when)

    @contextlib.contextmanager
    def watching_copies(self) -> Iterator[None]:
        """See every copy that libvirtd is asked for, and let the fault that follows one strike."""
        copy = libvirt.virStoragePool.createXMLFrom

        def watched(pool: Any, xml: str, base: Any, flags: int = 0) -> Any:
            self.copying.set()
            assert self.copies.wait(_GATE_SECONDS), "the test forgot to let the copies go on"
            self._copy_begins(ET.fromstring(xml).findtext("name", ""))  # noqa: S314 - ours
            made = copy(pool, xml, base, flags)
            self._copy_ended()
            return made

        libvirt.virStoragePool.createXMLFrom = watched
        try:
            yield
        finally:
            libvirt.virStoragePool.createXMLFrom = copy

    def _copy_begins(self, name: str) -> None:
        if name in self.ledger:
            self.copied_again.append(name)

    def _copy_ended(self) -> None:
        fault = self._due_at_end.pop(threading.get_ident(), None)
        if fault is None:
            return
        if fault.kind is FaultKind.LOSE_REPLY:
            raise _connection_loss()
        self._kill("after a copy")


def _connection_loss() -> libvirt.libvirtError:
    """Return what libvirt's client fails with when its server is gone before the answer."""
    said = "End of file while reading data: Input/output error"
    error = libvirt.libvirtError(said)
    error.err = (libvirt.VIR_ERR_RPC, libvirt.VIR_FROM_RPC, said, libvirt.VIR_ERR_ERROR, None, None, None, 0, 0)
    return error
