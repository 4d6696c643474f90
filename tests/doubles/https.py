"""A double behind HTTPS with a certificate of its own, on a port of the loopback or another address, until closed."""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from aiohttp import web
from tests.doubles.certificate import make_certificate


class HttpsServer:
    """Serves what `handle` answers."""

    def __init__(self, name: str) -> None:
        self.host, self.port = "127.0.0.1", 0
        """Where to serve; once it serves, the port that it got."""
        self.fingerprint = ""
        """Of the certificate; known once it serves."""
        self._folder = TemporaryDirectory(prefix=f"{name}-double-")
        self.certificate = Path(self._folder.name) / "certificate.pem"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        key = self.certificate.with_name("key.pem")
        self.fingerprint = make_certificate(self.certificate, key, self.host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._runner = web.ServerRunner(web.Server(self.handle, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        self._folder.cleanup()
