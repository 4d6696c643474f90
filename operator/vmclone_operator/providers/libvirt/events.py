"""libvirt's events as wake-ups: a clone that starts, stops or gets its agent is looked at within a second.

One event loop runs per process, because libvirt has only one; it also answers keepalives. Events are
a courtesy: whatever is missed, the resync finds.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain import naming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmclone_operator.domain.backend import Wake

_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
)
_start = threading.Lock()
_started = threading.Event()


def ensure_event_loop() -> None:
    """Start the process's libvirt event loop, once and before any connection is opened."""
    with _start:
        if _started.is_set():
            return
        libvirt.virEventRegisterDefaultImpl()
        # Errors come as exceptions; without this libvirt prints each to stderr as well.
        libvirt.registerErrorHandler(_ignore, None)
        threading.Thread(target=_run, name="libvirt-events", daemon=True).start()
        _started.set()


def _run() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _ignore(_context: object, _error: object) -> None:
    return


class Watch:
    """Turns the events of known VMs into wake-ups; all other VMs of the host are none of our business."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._incarnations: dict[str, str] = {}
        self._sources: set[str] = set()
        self._starts: dict[str, int] = {}

    def know_clone(self, incarnation: str) -> None:
        """Wake this incarnation when its VM changes."""
        self._incarnations[naming.clone_uuid(incarnation)] = incarnation

    def forget_clone(self, incarnation: str) -> None:
        """Stop waking an incarnation that is gone."""
        self._incarnations.pop(naming.clone_uuid(incarnation), None)

    def know_source(self, source_id: str) -> None:
        """Wake everybody when a job of this source ends."""
        self._sources.add(source_id)

    def starts(self, source_id: str) -> int:
        """Return how often this source was seen starting: a change means that it ran in between."""
        return self._starts.get(source_id, 0)

    def register(self, connection: libvirt.virConnect) -> Sequence[int]:
        """Ask a new connection for its events, and to be told when it breaks; return what to deregister."""
        connection.registerCloseCallback(self._closed, None)
        return [connection.domainEventRegisterAny(None, event, self._changed, event) for event in _EVENTS]

    def deregister(self, connection: libvirt.virConnect, registered: Sequence[int]) -> None:
        """Let go of a connection: while one callback is registered, libvirt keeps its socket open."""
        for callback in registered:
            with contextlib.suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(callback)
        with contextlib.suppress(libvirt.libvirtError):
            connection.unregisterCloseCallback()

    def _closed(self, _connection: libvirt.virConnect, _reason: int, _context: object) -> None:
        self.all_changed()

    def clone_changed(self, incarnation: str) -> None:
        """Wake one incarnation: work of ours for it ended, which libvirt has no event for."""
        self._wake(incarnation)

    def all_changed(self) -> None:
        """Wake everybody: the connection broke, and events with it."""
        self._wake("")

    def _changed(self, _connection: libvirt.virConnect, domain: libvirt.virDomain, *details: object) -> None:
        # No call back into libvirt here: its replies are read by this very thread.
        uuid, event = domain.UUIDString(), details[-1]
        if event == libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE and details[0] == libvirt.VIR_DOMAIN_EVENT_STARTED:
            self._starts[uuid] = self._starts.get(uuid, 0) + 1
        if uuid in self._incarnations:
            self._wake(self._incarnations[uuid])
        elif uuid in self._sources:
            self._wake("")
