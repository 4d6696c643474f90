"""The channel into a guest: its agent, through the server.

Every call first pings the agent, and a silent one holds one of the server's three workers for three seconds, whoever
else is waiting. So two guests at a time are asked, and a silent one is left alone for a while.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import ipaddress
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import quote_plus

from vmclone_operator.domain.backend import GuestCommand, GuestResult
from vmclone_operator.domain.errors import AgentNotReady, GuestAgentMissing
from vmclone_operator.domain.guest_parts import in_parts
from vmclone_operator.providers.proxmox import answers
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox.site import Seen, Site
from vmclone_operator.providers.proxmox.translate import Kind, Refused, error

COMMAND_SECONDS = 8.0
"""How long a guest command may run."""
SILENT_SECONDS = 4.0
"""How long a guest that did not answer is not asked again."""
POST_BYTES = 60_000
"""A request may have 64 KiB before pve-http-server 5.2.1, with every sign in its escaped form."""
INPUT_CHARACTERS = 65_536
MAX_OUTPUT = 64 * 1024
PART_BYTES = 44_000
"""Of one message as JSON: in a form, base64 and a script take a third more."""
_PAUSES = (0.1, 0.2, 0.4, 0.8)
_UNPACK = 'base64 -d | gzip -d | /bin/sh -c "$(printf %s "$1" | base64 -d | gzip -d)"'
_AT_ONCE = 2
Answer = TypeVar("Answer")


def packed(command: GuestCommand) -> tuple[list[str], str]:
    """Return a script and its input as the agent takes them: as they are, or compressed where that is too long.

    The server hands on one byte for each character, so other text than ASCII is packed too.
    """
    plain = ["/bin/sh", "-c", command.script]
    size = sum(len(quote_plus(part)) for part in (*plain, command.stdin))
    text = command.script + command.stdin
    if text.isascii() and size <= POST_BYTES and len(command.stdin) <= INPUT_CHARACTERS:
        return plain, command.stdin
    return ["/bin/sh", "-c", _UNPACK, "sh", _small(command.script)], _small(command.stdin)


def _small(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


class Guests:
    """Talks to guests."""

    def __init__(
        self,
        site: Site,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._site, self._now, self._sleep = site, now, sleep
        self._silent_until: dict[int, float] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def run(self, seen: Seen, command: GuestCommand) -> GuestResult:
        """Run a command in the guest to its end; one that takes too long is left running there.

        What is too long for one message goes in several; the last one's answer is the command's.
        """
        async with self._turn:
            for part in in_parts(command, PART_BYTES):
                argv, stdin = packed(part)
                pid = await self._asked(seen, partial(self._site.pve.exec, seen.node, seen.vmid, argv, stdin))
                result = await self._ended(seen, command.name, pid)
                if result.exit_code:
                    break
        return result

    async def _ended(self, seen: Seen, name: str, pid: int) -> GuestResult:
        deadline, looks = self._now() + COMMAND_SECONDS, 0
        while True:
            row = await self._asked(seen, lambda: self._site.pve.exec_status(seen.node, seen.vmid, pid))
            if answers.flag(row.get("exited")):
                return GuestResult(
                    exit_code=answers.number(row.get("exitcode"), 128 + answers.number(row.get("signal"))),
                    stdout=_output(row.get("out-data", "")),
                    stderr=_output(row.get("err-data", "")),
                )
            if self._now() >= deadline:
                raise AgentNotReady(f"the guest did not finish {name} within {COMMAND_SECONDS:g} seconds")
            await self._sleep(_PAUSES[min(looks, len(_PAUSES) - 1)])
            looks += 1

    async def addresses(self, seen: Seen) -> Sequence[str]:
        """Return the addresses on the VM's own cards, IPv4 first; loopback and link-local are left out."""
        async with self._turn:
            rows = await self._asked(seen, lambda: self._site.pve.interfaces(seen.node, seen.vmid))
        macs = {one.mac.lower() for one in configs.cards(seen.config)}
        told = [
            str(one.get("ip-address", ""))
            for row in rows
            if str(row.get("hardware-address", "")).lower() in macs
            for one in answers.parts(row.get("ip-addresses"))
        ]
        found = [ipaddress.ip_address(text) for text in told if _is_address(text)]
        good = [one for one in found if not (one.is_loopback or one.is_link_local)]
        return tuple(str(one) for one in sorted(good, key=lambda one: one.version))

    async def thaw(self, seen: Seen) -> bool:
        """Thaw the guest's file systems if they are frozen; return whether they were."""
        async with self._turn:
            try:
                if await self._asked(seen, lambda: self._site.pve.fsfreeze(seen.node, seen.vmid, "status")) != "frozen":
                    return False
                await self._asked(seen, lambda: self._site.pve.fsfreeze(seen.node, seen.vmid, "thaw"))
            except GuestAgentMissing:
                return False
        return True

    async def _asked(self, seen: Seen, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return what a guest answers; raises AgentNotReady, without asking one that was silent a moment ago."""
        left = self._silent_until.get(seen.vmid, 0.0) - self._now()
        if left > 0:
            raise AgentNotReady(f"the guest agent of {seen.name} did not answer {SILENT_SECONDS - left:.0f} s ago")
        try:
            answer = await call()
        except Refused as refused:
            raise self._silence(seen, refused) from refused
        self._silent_until.pop(seen.vmid, None)
        return answer

    def _silence(self, seen: Seen, refused: Refused) -> Exception:
        if refused.kind in {Kind.AGENT_SILENT, Kind.NOT_RUNNING}:
            self._silent_until[seen.vmid] = self._now() + SILENT_SECONDS
            return AgentNotReady(f"the guest agent of {seen.name} does not answer yet: {refused.words}")
        if refused.kind is Kind.DOWN and refused.status == 596:  # noqa: PLR2004 - the proxy's own status
            # Also what a server answers when the guest lacks the program that it was to run (recording 03, 98).
            return AgentNotReady(f"the guest of {seen.name} could not run our shell, or the server's worker died")
        return error(refused)


def _output(text: object) -> str:
    """Return output as the guest wrote it: the server reads each of its bytes as a character."""
    return str(text).encode("latin-1", "replace")[:MAX_OUTPUT].decode(errors="replace")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
