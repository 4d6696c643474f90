"""A VM of ours is removed: its copy stopped, its power cut, its config destroyed, its volumes looked for afterwards.

A destroy that can not free a disk only warns, and the config goes all the same: afterwards only the VM's number in
the volume's name tells whose it was. So what the config named is remembered before, and freed by name; after a restart
the log of our destroy task names it. A volume is never removed by its number alone: ids are given again.
"""

from __future__ import annotations

from vmclone_operator.domain.backend import OperationState, Progress
from vmclone_operator.domain.errors import RetryLater
from vmclone_operator.providers.proxmox import answers, translate
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox.copying import LOOK_SECONDS
from vmclone_operator.providers.proxmox.handles import Handle
from vmclone_operator.providers.proxmox.site import Seen, Site
from vmclone_operator.providers.proxmox.translate import Kind

DONE = Progress(state=OperationState.DONE, percent=100)


class Removing:
    """Takes removals one step on; the caller has compared the mark."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._tasks: dict[int, str] = {}
        self._volumes: dict[int, frozenset[str]] = {}

    async def stop_copy(self, handle: Handle, at: Seen | None) -> Progress | None:
        """Stop our task that copies to an id, if there is one; None when none runs.

        Raises LockLeftBehind for a copy of ours that has no name yet, and whose worker is dead.
        """
        state = await self._site.pve.task(handle.upid) if handle.upid else None
        upid = handle.upid if state is not None and state.running else ""
        upid = upid or await self._site.active_task(handle.node, handle.vmid)
        if not upid:
            ended = state is not None and translate.kind(200, state.exit_status) is not Kind.TAKEN
            if ended and at is not None and at.unnamed and await self._site.left_locked(at):
                raise translate.lock_left_behind(handle.vmid)
            return None
        await self._site.pve.stop_task(upid)
        return _going("the copy is stopped")

    async def stop_locked(self, handle: Handle, seen: Seen) -> Progress:
        """Stop the task that copies to a VM of ours; raises LockLeftBehind where none does and the lock stays."""
        told = await self.stop_copy(handle, seen)
        if told is None and await self._site.left_locked(seen):
            raise translate.lock_left_behind(seen.vmid, seen.name)
        return told or _going("its copy has just ended")

    async def remove(self, seen: Seen, *, keep_protected: bool) -> Progress:
        """Take one step: off, then destroyed; `keep_protected`: protection is somebody's word, and stands."""
        told = await self._followed(seen.vmid)
        if told is not None:
            return told
        if seen.lock:
            raise RetryLater(f"VM {seen.vmid} ({seen.name}) is locked ({translate.plain(seen.lock)})")
        if not seen.template and await self._site.is_running(seen):
            self._tasks[seen.vmid] = await self._site.pve.stop(seen.node, seen.vmid)
            return _going("it is switched off")
        if not keep_protected and str(seen.config.get("protection", "0")) != "0":
            await self._site.pve.set_config(seen.node, seen.vmid, {"delete": "protection", "digest": seen.digest})
            return _going("its protection is taken off")
        self._volumes[seen.vmid] = frozenset(
            one.volume for one in configs.drives(seen.config) if not one.cdrom and one.belongs_to(seen.vmid)
        )
        self._tasks[seen.vmid] = await self._site.pve.destroy(seen.node, seen.vmid)
        return _going("it is removed")

    async def _followed(self, vmid: int) -> Progress | None:
        """Return that the last task still runs; raise what it failed with, once."""
        upid = self._tasks.get(vmid)
        state = await self._site.pve.task(upid) if upid else None
        if state is not None and state.running:
            return _going("its task runs")
        self._tasks.pop(vmid, None)
        if state is not None and not state.good:
            raise translate.task_error(f"removing VM {vmid}", state.exit_status)
        return None

    async def after(self, vmid: int, node: str) -> Progress:
        """Free what a removed VM left; DONE when its storages hold nothing of it."""
        told = await self._followed(vmid)
        if told is not None:
            return told
        left = await self._left(vmid, node)
        mine = self._volumes.get(vmid, frozenset())
        if left and vmid not in self._volumes:
            mine = await self._named_by_the_task(vmid, node)
        for volume in sorted(left & mine):
            await self._site.pve.free(node, volume)
        if left & mine:
            return _going("a disk that its removal left is freed")
        self._volumes.pop(vmid, None)
        self._site.forget(vmid)
        return DONE

    async def _named_by_the_task(self, vmid: int, node: str) -> frozenset[str]:
        """Return what our last destroy task of that id could not remove."""
        rows = await self._site.pve.tasks(node, kind="qmdestroy", vmid=vmid)
        log = await self._site.pve.task_log(str(rows[0]["upid"])) if rows else ()
        return frozenset(filter(None, map(translate.not_removed, log)))

    async def _left(self, vmid: int, node: str) -> frozenset[str]:
        found: set[str] = set()
        for row in await self._site.pve.storages(node):
            if "images" in str(row.get("content", "")).split(",") and answers.flag(row.get("active")):
                held = await self._site.pve.images(node, str(row["storage"]), vmid)
                found |= {str(volume["volid"]) for volume in held}
        return frozenset(found)


def _going(message: str) -> Progress:
    return Progress(state=OperationState.RUNNING, message=message, again_seconds=LOOK_SECONDS)
