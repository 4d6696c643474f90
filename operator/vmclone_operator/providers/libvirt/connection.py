"""Connections to libvirtd: opened when first needed, opened again after they broke.

libvirt's Python binding blocks, so a backend has threads, of three kinds, so that quick calls never wait behind
a hung guest agent or behind the copy of a disk. Every wait has an end: a dead host costs its own clones alone.

Each thread has a connection of its own. libvirt 9's client crashes the whole process when one thread waits for
an answer on a connection that another thread uses or closes (seen with a libvirtd that was stopped).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

import libvirt

from vmclone_operator.domain.errors import BackendUnreachable, CloneError
from vmclone_operator.providers.libvirt import translate
from vmclone_operator.providers.libvirt.events import Watch, ensure_event_loop
from vmclone_operator.providers.libvirt.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OPEN_SECONDS = 8.0
"""How long a host that answered the knock may take to let us in."""
CALL_SECONDS = 45.0
"""How long anybody waits for one verb: less than a pass may take, or nobody would be told which host hangs.

The longest, a freeze, has time limits of its own that add up to less.
"""
FAILED_SECONDS = 5.0
"""How long a host that could not be reached is not tried again."""
KEEPALIVE_SECONDS = 5
KEEPALIVE_COUNT = 3
T = TypeVar("T")


class Connection:
    """Threads with a connection each; the calls that go over them are plain blocking functions."""

    def __init__(
        self,
        address: str,
        *,
        workers: int,
        knock: Callable[[], None] | None = None,
        watch: Watch | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._knock = knock
        self._watch = watch
        self._now = now
        self._threads = Threads(workers, name="libvirt", at_end=self._let_go)
        self._lock = threading.Lock()
        self._own = threading.local()
        self._events = threading.Lock()
        self._watched: libvirt.virConnect | None = None
        self._registered: Sequence[int] = ()
        self._failed: tuple[float, CloneError] | None = None
        self._closed = False

    async def run(self, work: Callable[[libvirt.virConnect], T]) -> T:
        """Run blocking work in a thread and return its answer, or raise its failure in our words."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self.submit(work)), CALL_SECONDS)
        except TimeoutError as error:
            raise BackendUnreachable(f"libvirt did not answer within {CALL_SECONDS:.0f} s") from error

    def submit(self, work: Callable[[libvirt.virConnect], T]) -> Future[T]:
        """Run blocking work in a thread of its own accord; nobody has to wait for it."""
        if self._closed:
            raise BackendUnreachable("the session was closed")
        return self._threads.submit(self._attempt, work)

    def _attempt(self, work: Callable[[libvirt.virConnect], T]) -> T:
        try:
            return work(self._connection())
        except libvirt.libvirtError as error:
            if translate.is_connection_loss(error):
                self._let_go()
            raise translate.translated(error) from error

    def _connection(self) -> libvirt.virConnect:
        """Return this thread's connection, a new one when it has none that works."""
        connection = self._mine()
        if connection is None or not connection.isAlive():
            self._let_go()
            with self._lock:
                connection = self._own.connection = self._new()
        self._listen(connection)
        return connection

    def _new(self) -> libvirt.virConnect:
        self._refuse_failed()
        try:
            return self._connected()
        except (CloneError, libvirt.libvirtError) as error:
            told = error if isinstance(error, CloneError) else translate.translated(error)
            self._failed = (self._now(), told)
            raise told from error

    def _listen(self, connection: libvirt.virConnect) -> None:
        """Let one of the connections, whichever works, bring libvirt's events."""
        if self._watch is None:
            return
        with self._events:
            if self._watched is None or not self._watched.isAlive():
                self._watched, self._registered = connection, self._watch.register(connection)

    def _let_go(self) -> None:
        """Close this thread's connection, which may be broken already."""
        connection, self._own.connection = self._mine(), None
        if connection is None:
            return
        with self._events:  # nobody may ask whether it is alive while it is closed
            watched = connection is self._watched
            if watched:
                self._watched = None
                registered, self._registered = self._registered, ()
        if watched and self._watch is not None:
            self._watch.deregister(connection, registered)
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()

    def _mine(self) -> libvirt.virConnect | None:
        return getattr(self._own, "connection", None)

    def _refuse_failed(self) -> None:
        """Fail at once while the last attempt is fresh: each attempt may take seconds, and many wait for one."""
        if self._failed is not None and self._now() - self._failed[0] < FAILED_SECONDS:
            raise type(self._failed[1])(str(self._failed[1]))
        self._failed = None

    def _connected(self) -> libvirt.virConnect:
        ensure_event_loop()
        if self._knock is not None:
            self._knock()
        connection = _opened(self._address)
        connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
        return connection

    def close(self) -> threading.Thread:
        """End the connections, each in its own thread; the thread that waits for them is returned."""
        self._closed = True
        self._threads.shutdown()
        closing = threading.Thread(target=self._threads.join, name="libvirt-close", daemon=True)
        closing.start()
        return closing


def _opened(address: str) -> libvirt.virConnect:
    """Open a connection with a time limit, which libvirt has none of: a late one is closed when it comes."""
    opening: Future[libvirt.virConnect] = Future()
    threading.Thread(target=_open, args=(address, opening), name="libvirt-open", daemon=True).start()
    try:
        return opening.result(OPEN_SECONDS)
    except TimeoutError as error:
        opening.add_done_callback(_close_late)
        raise BackendUnreachable(f"libvirtd did not let us in within {OPEN_SECONDS:.0f} s") from error


def _open(address: str, opening: Future[libvirt.virConnect]) -> None:
    try:
        opening.set_result(libvirt.open(address))
    except libvirt.libvirtError as error:
        opening.set_exception(error)


def _close_late(opening: Future[libvirt.virConnect]) -> None:
    with contextlib.suppress(libvirt.libvirtError):
        opening.result().close()
