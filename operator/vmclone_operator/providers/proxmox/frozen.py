"""Frozen points: one full copy of a source, made a template. A source that is a template is borrowed as it is.

The copy of a running VM is the VM as it was when all its disks had caught up: at the end. The server freezes the file
systems for that moment if the agent lets it, and a freeze that fails is one line in the task's log, so the log decides
what the point is worth. Steps: copy (see copying.py), template, tags; the tags say that it is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vmclone_operator.domain.backend import (
    Consistency,
    FreezeIntent,
    FrozenPoint,
    OperationState,
    Owner,
    Progress,
)
from vmclone_operator.domain.errors import CloneFailed, FrozenPointInUse, OwnershipMismatch, QuiesceFailed
from vmclone_operator.providers.proxmox import answers, handles, linked, marks, translate
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox.answers import Row
from vmclone_operator.providers.proxmox.copying import Copying, Job, There, running
from vmclone_operator.providers.proxmox.handles import Handle
from vmclone_operator.providers.proxmox.marks import FrozenMark, Mark
from vmclone_operator.providers.proxmox.removing import DONE, Removing
from vmclone_operator.providers.proxmox.site import Seen, Site
from vmclone_operator.providers.proxmox.source import Sources, fingerprint


class FrozenPoints:
    """The frozen points of one session."""

    def __init__(self, site: Site, sources: Sources, copying: Copying, removing: Removing) -> None:
        self._site, self._sources, self._copying, self._removing = site, sources, copying, removing
        self._templating: dict[int, str] = {}

    async def freeze(self, intent: FreezeIntent) -> Progress:
        """Take a frozen point one step on."""
        known = handles.read(intent.handle)
        if known is not None and not known.borrowed:
            return await self._go_on(intent, known, await self._site.look(known.vmid, known.node))
        if intent.image:
            return await self._borrowed(intent, await self._sources.image_vm(intent.image))
        source = await self._sources.by_id(intent.source_id)
        if source.template:
            return await self._borrowed(intent, source)
        found = await self._find(intent.instance, intent.vmclone_uid, intent.token)
        if found is not None:  # begun before, and the answer was lost
            return await self._go_on(intent, Handle(node=found.node, vmid=found.vmid), found)
        return await self._take_step(intent, source, None, None)

    async def _go_on(self, intent: FreezeIntent, known: Handle, seen: Seen | None) -> Progress:
        """Take a point that was begun one step on; its source is looked at only where that matters."""
        if seen is not None and (whole := await self._whole(intent, known, seen)):
            return whole
        if seen is None or seen.unnamed or _is(seen.mark, intent):
            told = await self._copying.followed(known, seen)
            if told is not None:
                return told
        return await self._take_step(intent, await self._sources.by_id(intent.source_id), known, seen)

    async def _take_step(self, intent: FreezeIntent, source: Seen, known: Handle | None, seen: Seen | None) -> Progress:
        step = await self._copying.step(await self._job(intent, source), known, seen)
        return await self._finish(intent, source, step) if isinstance(step, There) else step

    async def _whole(self, intent: FreezeIntent, known: Handle, seen: Seen) -> Progress | None:
        """Return DONE for a point that was finished before, whatever became of its source since."""
        if not _is(seen.mark, intent):
            return None
        if marks.frozen_tag(intent.instance) not in configs.tags(seen.config):
            return None
        source = Handle(node=known.node, vmid=int(intent.source_id))
        return await self._done(intent, seen, known, source)

    async def _job(self, intent: FreezeIntent, source: Seen) -> Job:
        mark = FrozenMark(
            instance=intent.instance,
            vmclone_uid=intent.vmclone_uid,
            token=intent.token,
            source_id=intent.source_id,
            fingerprint=fingerprint(source),
            running=await self._site.is_running(source),
        )
        place = self._site.place
        asked: dict[str, object] = {"name": marks.frozen_name(intent.vmclone_uid, intent.token), "full": 1}
        asked |= {"pool": place.pool} if place.pool else {}
        asked |= {"storage": place.storage} if place.storage else {}
        return Job(
            source=Handle(node=source.node, vmid=source.vmid),
            seed=intent.token,
            mark=mark,
            ours=lambda found: _is(found, intent),
            parameters=asked,
            once=True,
        )

    async def _finish(self, intent: FreezeIntent, source: Seen, there: There) -> Progress:
        """Make the copy a template and say that it is whole; before that, look whether it is worth it."""
        seen, handle = there.seen, there.handle
        if gone := lacking(source, seen):
            raise CloneFailed(f"VM {seen.vmid} ({seen.name}) lacks {gone} of its source after the copy")
        await self._consistency(intent, seen, Handle(node=source.node, vmid=source.vmid), handle)
        if str(seen.config.get("protection", "0")) != "0":
            await self._site.pve.set_config(seen.node, seen.vmid, {"delete": "protection", "digest": seen.digest})
            return running(handle, "its protection, a copy of the source's, is taken off")
        if not seen.template or await self._busy(seen):
            return await self._templated(seen, handle)
        tags = ";".join(sorted(marks.frozen_tags(intent.instance)))
        await self._site.pve.set_config(seen.node, seen.vmid, {"tags": tags, "digest": seen.digest})
        return await self._done(intent, seen, handle, Handle(node=source.node, vmid=source.vmid))

    async def _templated(self, seen: Seen, handle: Handle) -> Progress:
        upid = self._templating.pop(seen.vmid, "")
        state = await self._site.pve.task(upid) if upid else None
        if state is not None and not state.running and not state.good:
            raise translate.task_error(f"making a template of VM {seen.vmid}", state.exit_status)
        if not await self._busy(seen):
            upid = await self._site.pve.template(seen.node, seen.vmid)
        self._templating[seen.vmid] = upid
        return running(handle, "the copy is made a template")

    async def _busy(self, seen: Seen) -> bool:
        return bool(await self._site.pve.tasks(seen.node, kind="qmtemplate", vmid=seen.vmid, running=True))

    async def _done(self, intent: FreezeIntent, seen: Seen, handle: Handle, source: Handle) -> Progress:
        consistency, row = await self._consistency(intent, seen, source, handle)
        if row is not None and not handle.upid:
            handle = replace(handle, upid=str(row["upid"]))
        mark = seen.mark
        sizes = await self._sources.sizes(seen)
        point = FrozenPoint(
            token=intent.token,
            vmclone_uid=intent.vmclone_uid,
            source_id=intent.source_id,
            fingerprint=mark.fingerprint if isinstance(mark, FrozenMark) else "",
            consistency=consistency,
            allocated_bytes=sum(sizes.get(one.volume, one.bytes) for one in configs.disks(seen.config)),
            frozen_time=_time(row),
        )
        return Progress(state=OperationState.DONE, percent=100, handle=str(handle), frozen=point)

    async def _consistency(
        self, intent: FreezeIntent, seen: Seen, source: Handle, handle: Handle
    ) -> tuple[Consistency, Row | None]:
        """Return what the copy is worth and the task that made it; raises QuiesceFailed for less than asked."""
        row = await self._task_of(source, handle)
        log = await self._site.pve.task_log(str(row["upid"])) if row is not None else ()
        ran = seen.mark.running if isinstance(seen.mark, FrozenMark) else True
        made = worth(log, ran=ran)
        if not made.satisfies(intent.consistency):
            told = next(filter(translate.freeze_failed, log), "the agent was not asked to freeze them")
            raise QuiesceFailed(
                f"the copy of VM {source.vmid} is {made}, and {intent.consistency} is asked for: the guest's file"
                f" systems were not frozen ({translate.plain(told)}); install and start qemu-guest-agent in it and"
                f" switch it on (qm set {source.vmid} --agent 1), or accept CrashConsistent"
            )
        return made, row

    async def _task_of(self, source: Handle, handle: Handle) -> Row | None:
        rows = await self._site.pve.tasks(source.node, kind="qmclone", vmid=source.vmid)
        good = (row for row in rows if str(row.get("status", "")).startswith(_GOOD))
        return next((row for row in good if row["upid"] == handle.upid), None) or await self._site.own_task(
            source, handle.vmid
        )

    async def _borrowed(self, intent: FreezeIntent, seen: Seen) -> Progress:
        sizes = await self._sources.sizes(seen)
        point = FrozenPoint(
            token=intent.token,
            vmclone_uid=intent.vmclone_uid,
            source_id=intent.source_id,
            fingerprint=fingerprint(seen),
            consistency=Consistency.POWERED_OFF,
            allocated_bytes=sum(sizes.get(one.volume, one.bytes) for one in configs.disks(seen.config)),
            borrowed=True,
        )
        handle = Handle(node=seen.node, vmid=seen.vmid, borrowed=True)
        return Progress(state=OperationState.DONE, percent=100, handle=str(handle), frozen=point)

    async def release(self, owner: Owner, token: str, handle: str) -> Progress:
        """Remove a frozen point, or what a lost attempt left of it, one step on."""
        if not owner.vmclone_uid:
            raise OwnershipMismatch("a frozen point is removed for one VMClone only, and none was named")
        known = handles.read(handle)
        if known is not None and known.borrowed:
            return DONE
        seen = await self._site.look(known.vmid, known.node) if known is not None else None
        if known is not None and (seen is None or seen.unnamed):
            told = await self._removing.stop_copy(known, seen)
            if told is not None:
                return told
        if seen is None or not _belongs(seen.mark, owner, token):
            seen = await self._find(owner.instance, owner.vmclone_uid, token)
        if seen is None:
            return DONE if known is None else await self._removing.after(known.vmid, known.node)
        if seen.lock == "clone":
            return await self._removing.stop_locked(known or Handle(node=seen.node, vmid=seen.vmid), seen)
        try:
            return await self._removing.remove(seen, keep_protected=False)
        except FrozenPointInUse:
            held = await linked.names(self._site, await linked.standing_on(self._site, seen))
            raise FrozenPointInUse.by(held or [f"linked clones of {seen.name} (VM {seen.vmid})"]) from None

    async def tokens(self, owner: Owner) -> Sequence[str]:
        """List the tokens of an owner's frozen points, whole or not; none when no VMClone is named."""
        if not owner.vmclone_uid:
            return ()
        seen = await self._candidates(owner.instance, owner.vmclone_uid)
        return sorted(one.mark.token for one in seen if isinstance(one.mark, FrozenMark) and _owns(one.mark, owner))

    async def _find(self, instance: str, vmclone_uid: str, token: str) -> Seen | None:
        owner = Owner(instance=instance, vmclone_uid=vmclone_uid)
        seen = await self._candidates(instance, vmclone_uid)
        return next((one for one in seen if _belongs(one.mark, owner, token)), None)

    async def _candidates(self, instance: str, vmclone_uid: str) -> list[Seen]:
        """Look at the VMs whose tag or name is that of a frozen point; tags are live, a name is seconds late."""
        name = marks.frozen_prefix(vmclone_uid)
        rows = await self._site.tagged(
            marks.frozen_tag(instance), lambda row: str(row.get("name", "")).startswith(name)
        )
        looked = [await self._site.look(int(row["vmid"]), str(row["node"])) for row in rows]
        return [seen for seen in looked if seen is not None]


_GOOD = ("OK", "WARNINGS")


def _is(mark: Mark | None, intent: FreezeIntent) -> bool:
    return _belongs(mark, Owner(instance=intent.instance, vmclone_uid=intent.vmclone_uid), intent.token)


def _belongs(mark: Mark | None, owner: Owner, token: str) -> bool:
    return isinstance(mark, FrozenMark) and mark.belongs_to(owner, token)


def _owns(mark: FrozenMark, owner: Owner) -> bool:
    return (mark.instance, mark.vmclone_uid) == (owner.instance, owner.vmclone_uid)


def lacking(source: Seen, copy: Seen) -> str:
    """Return which disks of a source its copy lacks, named; empty when none."""
    wanted = {one.key for one in configs.disks(source.config)}
    return ", ".join(sorted(wanted - set(copy.config)))


def worth(log: Sequence[str], *, ran: bool) -> Consistency:
    """Return what a copy is worth by its task's log; without a log, by whether the source ran: no freeze is proven."""
    mirrored = any(map(translate.mirrored, log)) or (ran and not log)
    if not mirrored:
        return Consistency.POWERED_OFF
    quiesced = any(map(translate.froze, log)) and not any(map(translate.freeze_failed, log))
    return Consistency.QUIESCED if quiesced else Consistency.CRASH_CONSISTENT


def _time(row: Row | None) -> str:
    return answers.moment(row.get("endtime")) if row is not None else ""
