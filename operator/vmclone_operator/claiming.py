"""How an operator gets its claim before it begins, and what it does when another one appears beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from vmclone_operator.engine.context import Engine
from vmclone_operator.kube.claims import ACTIVE, WAITING, Claims, Installation, refusal
from vmclone_operator.kube.cluster import ClusterError, Kind, Refused
from vmclone_operator.kube.lease import LeaseKeeper
from vmclone_operator.observe.health import Health

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
_RIGHT_MISSING = (
    "the Leases of other vmclone operators cannot be listed, so nobody knows whether one works here already: let this"
    " operator list leases named vmclone-operator in all namespaces (the chart's ClusterRole does): "
)

Write = Callable[[str], Awaitable[None]]
"""Writes into the operator's own Lease whether it works or waits."""


@dataclass(slots=True, kw_only=True)
class Claiming:
    """The claim of this process."""

    claims: Claims
    keeper: LeaseKeeper
    write: Write
    health: Health
    pause_seconds: float = LOOK_SECONDS / 2

    async def begin(self, stop: asyncio.Event) -> bool:
        """Wait until no other installation works in the same namespaces; return false when told to stop before."""
        while not stop.is_set():
            problem = await self._try()
            self.health.claim = problem
            if not problem:
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(self.pause_seconds):
                    await stop.wait()
        return False

    async def _try(self) -> str:
        """Claim the namespaces if nobody has; return why not."""
        try:
            await self.claims.look()
            inherited = self.keeper.claim == ACTIVE
            rival = self.claims.active_rival() if inherited else self.claims.before(self.keeper.order)
            if rival is None and not inherited:
                await self.write(ACTIVE)
                await self.claims.look()
                rival = self.claims.active_rival()
            if rival is not None and self.keeper.claim == ACTIVE:
                await self.write(WAITING)
        except Refused as error:
            return self._said(_RIGHT_MISSING + str(error))
        except ClusterError as error:
            return f"the claims of other installations are not known yet: {error}"
        return "" if rival is None else self._said(refusal(rival))

    def _said(self, problem: str) -> str:
        if problem != self.health.claim:
            log.error("not working", extra={"problem": problem})
        return problem

    async def look(self, engine: Engine, stop: asyncio.Event) -> None:
        """Look again while working: step back for whoever was there before, and tell admins of whoever waits."""
        try:
            await self.claims.look()
        except ClusterError as error:
            log.warning("other installations not looked for", extra={"error": str(error)})
            return
        rival = self.claims.active_rival(self.keeper.order)
        if rival is not None:
            self.health.claim = self._said(refusal(rival))
            stop.set()
            return
        for other in self.claims.rivals:
            await _tell(engine, other)


async def _tell(engine: Engine, other: Installation) -> None:
    """Say on each CloneBackend that there is another operator: its admins own both."""
    note = (
        f"{other} overlaps with the one that works here, and waits: uninstall it, or give each installation its own"
        " namespaces with watchNamespaces"
    )
    for backend in engine.cache.all(Kind.BACKEND):
        await engine.events.post(
            Kind.BACKEND, backend, reason="SecondInstallation", action="Claim", note=note, warning=True, once=True
        )
