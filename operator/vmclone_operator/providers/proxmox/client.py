"""HTTP as Proxmox VE speaks it: one API token, several endpoints, a fence before every write.

    client = Client(Door(endpoints=("pve1.example:8006",), token_id="u@pve!t", token_secret="...", ca=pem), fence=fence)
    await client.get("/nodes/pve1/qemu/100/config")            # the answer's `data`
    await client.write("PUT", "/nodes/pve1/qemu/101/config", {"onboot": "0"})

A read goes on with the next endpoint when one is away. A write goes on only if nothing was sent; when the connection
breaks later, nobody knows whether it was done, and the caller looks. aiohttp would send PUT and DELETE again by
itself, past the fence: that is switched off (docs/adr/0010-proxmox-over-aiohttp.md).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from vmclone_operator.domain.backend import Fence
from vmclone_operator.domain.errors import ActionNeeded, BackendUnreachable, CredentialsInvalid
from vmclone_operator.providers.proxmox.translate import Refused, plain
from vmclone_operator.providers.turns import Turns

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""A config change waits up to 10 s for a lock before the server refuses it."""
UPLOAD_SECONDS = 120.0
_MOST_BYTES = 16 << 20
_AWAY = frozenset({502, 503, 504})
Parameters = Mapping[str, object]
Journal = Callable[[str, str, int], None]
"""Told of every request: method, path, status (0: no answer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How to get in."""

    endpoints: tuple[str, ...]
    """`host` or `host:port` of the cluster's nodes; the first that answers is used."""
    token_id: str
    """`user@realm!name`."""
    token_secret: str = field(repr=False)
    ca: str = ""
    """PEM of the authority that signed the nodes' certificates; empty: the system's."""
    fingerprint: str = ""
    """SHA-256 of the one certificate that is taken, in place of any authority."""
    requests_per_second: float = 10.0
    burst: float = 20.0


class Client:
    """Requests to one cluster."""

    def __init__(
        self,
        door: Door,
        *,
        fence: Fence,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        journal: Journal | None = None,
    ) -> None:
        if not door.endpoints:
            raise ActionNeeded("proxmox.endpoints is empty: name at least one node, for example pve1.example:8006")
        self._door, self._fence, self._journal = door, fence, journal
        self._turns = Turns(door.requests_per_second, door.burst, now, sleep)
        self._first = 0
        connector = aiohttp.TCPConnector(ssl=_trust(door), limit=8, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"Authorization": f"PVEAPIToken={door.token_id}={door.token_secret}"},
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS),
            raise_for_status=False,
            trust_env=False,
        )
        self._session._retry_connection = False  # noqa: SLF001 - no public switch; the ADR and a test watch it

    async def close(self) -> None:
        """End the connections; tasks of the server go on."""
        await self._session.close()

    async def get(self, path: str, parameters: Parameters | None = None) -> Any:  # noqa: ANN401 - JSON
        """Return the `data` of a read; raises Refused, BackendUnreachable."""
        failed: BackendUnreachable | None = None
        for endpoint in self._in_order():
            await self._turns.next()
            try:
                return await self._send(endpoint, "GET", path, parameters or {})
            except BackendUnreachable as error:
                failed = error
            except Refused as refused:
                if refused.status not in _AWAY:
                    raise
                failed = BackendUnreachable(f"{endpoint} answers {refused.status} {refused.text}")
        raise failed or BackendUnreachable("no endpoint")

    async def write(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        *,
        upload: tuple[str, bytes] | None = None,
        fenced: bool = True,
    ) -> Any:  # noqa: ANN401 - JSON
        """Change something; `fenced=False` only for what must happen whoever leads, such as a thaw.

        Raises BackendUnreachable also when nobody knows whether it was done.
        """
        failed: _Unsent | None = None
        for endpoint in self._in_order():
            await self._turns.next()
            if fenced:
                self._fence()
            try:
                return await self._send(endpoint, method, path, parameters or {}, upload)
            except _Unsent as error:
                failed = error
        raise failed or BackendUnreachable("no endpoint")

    def _in_order(self) -> list[str]:
        """Return the endpoints, the one that answered last first."""
        named = list(self._door.endpoints)
        return named[self._first :] + named[: self._first]

    async def _send(
        self,
        endpoint: str,
        method: str,
        path: str,
        parameters: Parameters,
        upload: tuple[str, bytes] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        url, body, wait = _target(endpoint, method, path, parameters, upload)
        status = 0
        try:
            async with self._session.request(method, url, data=body, timeout=wait, allow_redirects=False) as answer:
                status = answer.status
                content = await _whole(answer)
                reason = answer.reason or ""
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch) as error:
            raise CredentialsInvalid(
                f"the certificate of {endpoint} is not the one that caBundle or fingerprint names: {plain(str(error))}"
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise _Unsent(f"no connection to {endpoint}: {plain(str(error))}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            words = plain(str(error)) or f"no answer within {wait.total:g} seconds"
            raise BackendUnreachable(f"the connection to {endpoint} broke during {method} {path}: {words}") from error
        finally:
            if self._journal is not None:
                self._journal(method, path, status)
        self._first = self._door.endpoints.index(endpoint)
        return _data(f"{method} {path}", status, reason, content)


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """Return an answer's body to its end; raises BackendUnreachable for one that has none in sight."""
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > _MOST_BYTES:
            raise BackendUnreachable(f"the answer of {answer.url.host} is longer than {_MOST_BYTES} bytes")
    return bytes(content)


class _Unsent(BackendUnreachable):
    """Nothing left this machine, so another endpoint may be tried."""


def segment(text: object) -> str:
    """Return a part of a path with everything quoted that could end it."""
    return quote(str(text), safe="")


def _trust(door: Door) -> ssl.SSLContext | aiohttp.Fingerprint:
    """Return what a certificate is checked against; raises ActionNeeded for what cannot be one."""
    if door.fingerprint:
        digits = door.fingerprint.replace(":", "").lower()
        try:
            return aiohttp.Fingerprint(bytes.fromhex(digits))
        except ValueError as error:
            raise ActionNeeded(
                "proxmox.fingerprint is no SHA-256: write 64 hex digits as `pvenode cert info` shows them, with or"
                " without colons"
            ) from error
    try:
        return ssl.create_default_context(cadata=door.ca or None)
    except ssl.SSLError as error:
        raise ActionNeeded("proxmox.caBundle is no PEM certificate: paste /etc/pve/pve-root-ca.pem") from error


def _target(
    endpoint: str, method: str, path: str, parameters: Parameters, upload: tuple[str, bytes] | None
) -> tuple[URL, bytes | aiohttp.FormData | None, aiohttp.ClientTimeout]:
    """Return where a request goes, with what, and for how long: POST and PUT carry a form, the rest a query."""
    host = endpoint if ":" in endpoint.rpartition("]")[2] else f"{endpoint}:8006"
    base = f"https://{host}/api2/json{path}"
    pairs = [
        (name, str(one))
        for name, value in parameters.items()
        for one in (value if isinstance(value, list | tuple) else [value])
    ]
    wait = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
    if upload is not None:
        form = aiohttp.FormData(pairs, quote_fields=False)
        form.add_field("filename", upload[1], filename=upload[0], content_type="application/octet-stream")
        limit = aiohttp.ClientTimeout(total=UPLOAD_SECONDS, sock_connect=CONNECT_SECONDS)
        return URL(base, encoded=True), form, limit
    encoded = urlencode(pairs)
    if method in {"POST", "PUT"}:
        return URL(base, encoded=True), aiohttp.FormData(pairs) if pairs else None, wait
    return URL(f"{base}?{encoded}" if encoded else base, encoded=True), None, wait


def _data(call: str, status: int, reason: str, content: bytes) -> Any:  # noqa: ANN401 - JSON
    """Return an answer's `data`; raises Refused with the reason phrase and the parameters that are wrong."""
    try:
        body = json.loads(content) if content else {}
    except (ValueError, RecursionError):
        body = None
    if status == 200:  # noqa: PLR2004 - HTTP
        if not isinstance(body, dict) or "data" not in body:
            raise BackendUnreachable(
                f"the answer to {call} is not one of Proxmox VE's API: is it a proxy that answers?"
            )
        return body["data"]
    fields = body.get("errors") if isinstance(body, dict) else None
    said = body.get("message") if isinstance(body, dict) else None
    named = {str(name): str(text) for name, text in fields.items()} if isinstance(fields, dict) else {}
    # A proxy may put the status's own name in the reason's place, or speak HTTP/2, which has none.
    raise Refused(call, status, said if isinstance(said, str) and said.strip() else reason, named)
