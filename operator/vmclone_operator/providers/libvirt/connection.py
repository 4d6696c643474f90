"""Connections to libvirtd: opened when first needed, opened again after they broke.

libvirt's Python binding blocks, so every connection brings its own threads. A backend has three, because
libvirtd serves only five calls of a client at a time: quick calls must never wait behind a hung guest
agent or behind the copy of a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import libvirt

from vmclone_operator.domain.errors import BackendUnreachable, CredentialsInvalid
from vmclone_operator.providers.libvirt import translate
from vmclone_operator.providers.libvirt.events import Watch, ensure_event_loop
from vmclone_operator.providers.libvirt.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from vmclone_operator.api.backend import LibvirtSettings

CONNECT_SECONDS = 5.0
KEEPALIVE_SECONDS = 5
KEEPALIVE_COUNT = 3
_PKI_FILES = {"tls.crt": "clientcert.pem", "tls.key": "clientkey.pem", "ca.crt": "cacert.pem"}
T = TypeVar("T")


def uri(settings: LibvirtSettings, pki: str = "") -> str:
    """Return the connection URI; only the fields of our schema can get into it."""
    if settings.transport == "local":
        return "qemu:///system"
    return f"qemu+tls://{_authority(settings)}/system?pkipath={pki}"


def _authority(settings: LibvirtSettings) -> str:
    host = settings.host or ""
    with contextlib.suppress(ValueError):  # a name, then, or IPv4
        host = f"[{ipaddress.IPv6Address(host)}]"
    return f"{host}:{settings.port}"


class PrivateKeys:
    """The client certificate as files, which is how libvirt wants it: private, and gone with the session."""

    def __init__(self, credentials: Mapping[str, bytes]) -> None:
        missing = [key for key in _PKI_FILES if not credentials.get(key)]
        if missing:
            raise CredentialsInvalid(f"the credentials Secret lacks {', '.join(missing)}: TLS needs all of them")
        self._folder = tempfile.TemporaryDirectory(prefix="vmclone-pki-")
        for key, name in _PKI_FILES.items():
            file = Path(self.path) / name
            file.touch(mode=0o600)
            file.write_bytes(credentials[key])

    @property
    def path(self) -> str:
        """The directory for `pkipath`."""
        return self._folder.name

    def remove(self) -> None:
        """Remove the files."""
        self._folder.cleanup()


class Connection:
    """One connection with its threads; the calls that go over it are plain blocking functions."""

    def __init__(
        self,
        address: str,
        *,
        workers: int,
        probe: tuple[str, int] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._address = address
        self._probe = probe
        self._watch = watch
        self._threads = Threads(workers, name="libvirt")
        self._lock = threading.Lock()
        self._open: libvirt.virConnect | None = None
        self._closed = False

    async def run(self, work: Callable[[libvirt.virConnect], T]) -> T:
        """Run blocking work in a thread and return its answer, or raise its failure in our words."""
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Callable[[libvirt.virConnect], T]) -> Future[T]:
        """Run blocking work in a thread of its own accord; nobody has to wait for it."""
        if self._closed:
            raise BackendUnreachable("the session was closed")
        return self._threads.submit(self._attempt, work)

    def _attempt(self, work: Callable[[libvirt.virConnect], T]) -> T:
        connection = None
        try:
            connection = self._connection()
            return work(connection)
        except libvirt.libvirtError as error:
            if translate.is_connection_loss(error):
                self._drop(connection)
            raise translate.translated(error) from error

    def _connection(self) -> libvirt.virConnect:
        with self._lock:
            if self._open is not None and self._open.isAlive():
                return self._open
            self._discard()
            self._open = self._connected()
            return self._open

    def _connected(self) -> libvirt.virConnect:
        ensure_event_loop()
        if self._probe is not None:
            _prove_reachable(self._probe)
        connection = libvirt.open(self._address)
        connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
        if self._watch is not None:
            self._watch.register(connection)
        return connection

    def _drop(self, broken: libvirt.virConnect | None) -> None:
        """Let go of a connection, unless another thread has already opened a new one in its place."""
        with self._lock:
            if broken is self._open:
                self._discard()

    def _discard(self) -> None:
        connection, self._open = self._open, None
        if connection is None:
            return
        if self._watch is not None:
            self._watch.deregister(connection)
        with contextlib.suppress(libvirt.libvirtError):  # it may be broken already: that is why it goes
            connection.close()

    def close(self) -> threading.Thread:
        """End the connection, in a thread that is returned: a host that hangs answers no goodbye."""
        self._closed = True
        self._threads.shutdown()
        closing = threading.Thread(target=self._close, name="libvirt-close", daemon=True)
        closing.start()
        return closing

    def _close(self) -> None:
        with self._lock:
            self._discard()


def _prove_reachable(address: tuple[str, int]) -> None:
    """Connect once with a time limit: libvirt's own TCP connect waits for minutes."""
    try:
        socket.create_connection(address, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise BackendUnreachable(translate.plain(f"{address[0]}:{address[1]}: {error}")) from error
