"""Power and cables. Every power-on looks once more at what the clone could write to."""

from __future__ import annotations

from vmclone_operator.domain.backend import CloneRef, Power
from vmclone_operator.domain.errors import RetryLater, SourceExposed
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox import handles, safe, translate
from vmclone_operator.providers.proxmox.clones import Clones
from vmclone_operator.providers.proxmox.site import Site
from vmclone_operator.providers.proxmox.source import Sources

SHUTDOWN_SECONDS = 60
"""How long a source's guest is asked before it is switched off."""


class Switches:
    """Switches of one session."""

    def __init__(self, site: Site, clones: Clones, sources: Sources) -> None:
        self._site, self._clones, self._sources = site, clones, sources
        self._tasks: dict[tuple[int, Power], str] = {}

    async def set_power(self, ref: CloneRef, power: Power) -> None:
        """Switch a clone on or off; a task of an earlier call that still runs is not begun again."""
        known = handles.read(ref.handle)
        if known is not None and await self._going_on(known.vmid, power):
            return
        seen = await self._clones.owned(ref)
        if await self._site.is_running(seen) is (power is Power.ON):
            return
        if power is Power.OFF:
            self._tasks[seen.vmid, power] = await self._site.pve.stop(seen.node, seen.vmid)
            return
        if seen.lock:
            raise RetryLater(f"VM {seen.vmid} ({seen.name}) is locked ({translate.plain(seen.lock)})")
        if problem := safe.exposed(seen.config, seen.vmid):
            raise SourceExposed(problem)
        self._tasks[seen.vmid, power] = await self._site.pve.start(seen.node, seen.vmid)

    async def _going_on(self, vmid: int, power: Power) -> bool:
        """Tell whether the task of an earlier call still runs; raise what it failed with, once."""
        upid = self._tasks.get((vmid, power), "")
        state = await self._site.pve.task(upid) if upid else None
        if state is not None and state.running:
            return True
        self._tasks.pop((vmid, power), None)
        if state is not None and not state.good:
            raise translate.task_error(f"switching VM {vmid} {power}", state.exit_status)
        return False

    async def set_source_power(self, source_id: str, power: Power) -> bool:
        """Switch a source on, or ask its guest to end; the server pulls the plug after a minute."""
        seen = await self._sources.by_id(source_id)
        if seen.template or await self._site.is_running(seen) is (power is Power.ON):
            return False
        if await self._going_on(seen.vmid, power):
            return False
        if power is Power.ON:
            upid = await self._site.pve.start(seen.node, seen.vmid)
        else:
            upid = await self._site.pve.shutdown(seen.node, seen.vmid, SHUTDOWN_SECONDS)
        self._tasks[seen.vmid, power] = upid
        return True

    async def connect(self, ref: CloneRef) -> None:
        """Set every cable of a clone in, now and for later boots."""
        seen = await self._clones.owned(ref)
        wanted = {one.key: one.with_link(up=True).text for one in configs.cards(seen.config) if not one.up}
        if wanted:
            await self._site.pve.set_config(seen.node, seen.vmid, {**wanted, "digest": seen.digest})
