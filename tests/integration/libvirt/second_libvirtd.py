"""A libvirtd of the test's own, over TLS on an address of this machine: it may be stopped, killed and hung.

It has its own state in a mount namespace that outlives it, so that it finds what it knew when it starts again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import libvirt
from tests.integration.libvirt import hidden_state

from vmclone_operator.domain.backend import BackendConfig, BackendSession
from vmclone_operator.providers.libvirt import LibvirtBackend

PKI = Path("/etc/libvirt/pki")
"""The lab's certificates; its server's is valid for 127.0.0.1."""
START_SECONDS = 30.0
_STOPPED = 15.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def credentials() -> dict[str, bytes]:
    """Return what the Secret of a CloneBackend with TLS holds."""
    names = {"tls.crt": "client.crt", "tls.key": "client.key", "ca.crt": "ca.crt"}
    return {key: (PKI / name).read_bytes() for key, name in names.items()}


@contextlib.asynccontextmanager
async def open_other(settings: dict[str, object], secret: dict[str, bytes]) -> AsyncIterator[BackendSession]:
    """Open a session with these settings and this Secret."""
    config = BackendConfig(name="other", settings=settings, credentials=secret)
    session = await LibvirtBackend().open(config, wake=lambda _: None, fence=lambda: None)
    try:
        yield session
    finally:
        await session.close()


@dataclass
class SecondLibvirtd:
    """The daemon and the namespace that holds its state."""

    folder: Path
    port: int = field(default_factory=free_port)
    _holder: subprocess.Popen[bytes] | None = None
    _daemon: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        shutil.copytree(PKI, self.folder / "pki")
        pki = self.folder / "pki"
        settings = {
            "listen_tls": 1,
            "listen_tcp": 0,
            "listen_addr": "127.0.0.1",
            "tls_port": str(self.port),
            "auth_tls": "none",
            "ca_file": str(pki / "ca.crt"),
            "cert_file": str(pki / "server.crt"),
            "key_file": str(pki / "server.key"),
            "host_uuid_source": "machine-id",
        }
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        (self.folder / "libvirtd.conf").write_text(text)
        command = ["unshare", "--mount", "--propagation", "private", "--", sys.executable, "-I", hidden_state.__file__]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        self.start()

    def start(self) -> None:
        assert self._holder is not None
        enter = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--"]
        files = ["--config", str(self.folder / "libvirtd.conf"), "--pid-file", str(self.folder / "pid")]
        with (self.folder / "log").open("ab") as log:
            self._daemon = subprocess.Popen([*enter, "libvirtd", "--listen", *files], stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(libvirt.libvirtError, OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._daemon is not None
        self._daemon.wait(_STOPPED)

    def signal(self, number: signal.Signals) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(number)

    def remove(self) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait(_STOPPED)
        if self._holder is not None:
            self._holder.communicate(timeout=_STOPPED)

    @contextlib.contextmanager
    def connected(self) -> Iterator[libvirt.virConnect]:
        """Connect beside the session, with the same keys."""
        pki = self.folder / "client"
        pki.mkdir(exist_ok=True)
        for name, content in zip(
            ("clientcert.pem", "clientkey.pem", "cacert.pem"), credentials().values(), strict=True
        ):
            (pki / name).write_bytes(content)
        connection = libvirt.open(f"qemu+tls://127.0.0.1:{self.port}/system?pkipath={pki}")
        try:
            yield connection
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()
