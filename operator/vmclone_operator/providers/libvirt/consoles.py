"""What the serial consoles of booting clones say. libvirt keeps nothing of it, so we listen from the start of a boot.

A console that nobody listens to is mute for good: QEMU throws away what a pty without a reader is written, and a
guest that gave up says nothing more. Only one client can listen to a console. Ours never takes it from somebody
(`virsh console` first: we hear nothing), writes nothing to it, and lets go when the agent is there, when the clone
is off, or when the last words were asked for; `virsh console --force` takes it from us before that.

All streams are on one connection with one thread, for streams belong to the thread that waits on their connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.errors import CloneError
from vmclone_operator.providers.libvirt import translate
from vmclone_operator.providers.libvirt.clones import owned

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmclone_operator.domain.backend import Stamp
    from vmclone_operator.providers.libvirt.connection import Connection

KEPT_BYTES = 8 * 1024
"""How much of a console's end is kept."""
DRAIN_SECONDS = 2.0
"""How often what came is taken; until then libvirt's client keeps it."""
LISTEN_SECONDS = 3600.0
"""How long a boot is listened to at most."""
ANSWER_SECONDS = 2.0
"""How long anybody waits for the last words."""
_HEAR_SECONDS = 1.0
"""How long a console is listened to that nobody listened to before, as after a restart of the operator."""
_PAUSE_SECONDS = 0.05
_PIECE_BYTES = 64 * 1024
_PIECES = 16
"""How many pieces are taken at a time from one console: one that never stops must not keep the others waiting."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Ear:
    """One console: its stream while it is open, and what came last."""

    stream: libvirt.virStream | None
    since: float
    heard: bytes = b""

    def take(self) -> None:
        """Take what has come since; raises libvirtError when the connection broke or the console was taken from us."""
        for _ in range(_PIECES):
            piece = b"" if self.stream is None else self.stream.recv(_PIECE_BYTES)
            if isinstance(piece, int):  # -2: nothing now
                return
            if not piece:  # the VM is off
                self.let_go()
                return
            self.heard = (self.heard + piece)[-KEPT_BYTES:]

    def let_go(self) -> None:
        """End the stream; what was heard stays."""
        stream, self.stream = self.stream, None
        if stream is not None:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()


class Consoles:
    """The consoles of one session's clones that boot; its methods are called in the event loop."""

    def __init__(self, connection: Connection, *, now: Callable[[], float] = time.monotonic) -> None:
        self._connection, self._now = connection, now
        self._wanted: set[str] = set()
        self._draining: asyncio.Task[None] | None = None
        self._ears: dict[str, _Ear] = {}  # used in the connection's one thread only

    def listen(self, stamp: Stamp) -> None:
        """Begin to listen to a clone that was switched on just now; nobody waits for it."""
        if stamp.incarnation in self._wanted:
            return
        self._wanted.add(stamp.incarnation)
        self._connection.submit(partial(self._open, stamp=stamp))
        if self._draining is None or self._draining.done():
            self._draining = asyncio.get_running_loop().create_task(self._drain_while_wanted())

    def forget(self, incarnation: str) -> None:
        """Stop listening: the clone has an agent or is off."""
        if incarnation in self._wanted:
            self._wanted.discard(incarnation)
            self._connection.submit(partial(self._close, incarnation=incarnation))

    async def tail(self, stamp: Stamp) -> str:
        """Return what a console said last and let go of it; empty when that takes too long."""
        try:
            heard = await asyncio.wait_for(
                self._connection.run(partial(self._last_words, stamp=stamp)), timeout=ANSWER_SECONDS
            )
        except TimeoutError:
            heard = b""
        self._wanted.discard(stamp.incarnation)
        return heard.decode(errors="replace")

    def close(self) -> None:
        """End it; the streams end with their connection."""
        self._wanted.clear()
        if self._draining is not None:
            self._draining.cancel()

    async def _drain_while_wanted(self) -> None:
        while self._wanted:
            await asyncio.sleep(DRAIN_SECONDS)
            try:
                old = await self._connection.run(self._drain)
                self._wanted.difference_update(old)
            except CloneError as error:  # the host is away: its consoles are asked for anew at the end of the boot
                log.debug("consoles not read: %s", error)

    def _open(self, connection: libvirt.virConnect, stamp: Stamp) -> None:
        """Open a clone's console; one that has none, or that somebody else holds, is not heard."""
        ear = self._ears[stamp.incarnation] = _Ear(stream=None, since=self._now())
        domain = owned(connection, stamp)
        if not domain.isActive():
            return
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        try:
            domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_SAFE)
        except libvirt.libvirtError as error:
            if translate.is_connection_loss(error):
                raise
            log.debug("no console: %s", translate.translated(error), extra={"vm": domain.name()})
            return
        ear.stream = stream

    def _close(self, _connection: libvirt.virConnect, incarnation: str) -> None:
        ear = self._ears.pop(incarnation, None)
        if ear is not None:
            ear.let_go()

    def _drain(self, connection: libvirt.virConnect) -> set[str]:
        """Take from every console what has come; return those that are listened to for too long."""
        old = {name for name, ear in self._ears.items() if self._now() - ear.since > LISTEN_SECONDS}
        for incarnation in old:
            self._close(connection, incarnation)
        for ear in self._ears.values():
            _take(ear)
        return old

    def _last_words(self, connection: libvirt.virConnect, stamp: Stamp) -> bytes:
        fresh = stamp.incarnation not in self._ears
        try:
            if fresh:
                self._open(connection, stamp)
            ear = self._ears[stamp.incarnation]
            _take(ear)
            deadline = self._now() + _HEAR_SECONDS
            while fresh and ear.stream is not None and self._now() < deadline:
                time.sleep(_PAUSE_SECONDS)  # in a thread of our own
                _take(ear)
            return ear.heard
        finally:
            self._close(connection, stamp.incarnation)


def _take(ear: _Ear) -> None:
    """Take what has come; a console that was taken from us, or whose connection broke, says nothing more."""
    try:
        ear.take()
    except libvirt.libvirtError as error:
        log.debug("console ended: %s", translate.translated(error))
        ear.let_go()
