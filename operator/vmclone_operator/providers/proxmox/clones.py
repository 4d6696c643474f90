"""Clones: copied from a template, set safe, tagged. The tags come last, and only a tagged VM is shown to anybody.

    copy (copying.py)  ->  seed uploaded  ->  config set safe (safe.py), as often as it takes  ->  tags

A copy of the template is not switched on by anything before that: `onboot` is honoured at a node's boot only, and it is
among the first things that go.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    CloneIntent,
    CloneRef,
    DiskCopy,
    ObservedClone,
    OperationState,
    Owner,
    Power,
    Progress,
    Stamp,
)
from vmclone_operator.domain.errors import (
    CapabilityMissing,
    CloneError,
    CloneFailed,
    OwnershipMismatch,
    RetryLater,
    SourceExposed,
    TargetConflict,
)
from vmclone_operator.domain.ownership import mismatch
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox import handles, marks, safe
from vmclone_operator.providers.proxmox.answers import Row
from vmclone_operator.providers.proxmox.clean import Clean, Likeness
from vmclone_operator.providers.proxmox.copying import Copying, Job, There, running
from vmclone_operator.providers.proxmox.handles import Handle
from vmclone_operator.providers.proxmox.marks import CloneMark, Mark
from vmclone_operator.providers.proxmox.removing import DONE, Removing
from vmclone_operator.providers.proxmox.seeds import Seeds
from vmclone_operator.providers.proxmox.site import Seen, Site
from vmclone_operator.providers.proxmox.source import shape
from vmclone_operator.providers.proxmox.translate import Refused

_MOST_CHANGES = 4
"""Protection, the cloud-init drive, and the rest are a request each; one more for whoever came between."""


class Clones:
    """The clones of one session."""

    def __init__(self, site: Site, copying: Copying, removing: Removing, seeds: Seeds, clean: Clean) -> None:
        self._site, self._copying, self._removing, self._seeds = site, copying, removing, seeds
        self._clean = clean

    async def start(self, intent: CloneIntent) -> Progress:
        """Take a clone one step on; DONE when it may be switched on."""
        known = handles.read(intent.handle)
        if known is None:
            seen = await self._find(intent.stamp, intent.vm_name, conflicts=True)
            if seen is not None and not self._whole(seen) and _token(seen.mark) != intent.token:
                return await self._removing.remove(seen, keep_protected=False)
            known = Handle(node=seen.node, vmid=seen.vmid) if seen is not None else None  # begun; the answer was lost
        else:
            seen = await self._site.look(known.vmid, known.node)
        if known is not None and seen is not None and _is(seen.mark, intent.stamp) and self._whole(seen):
            return _done(known, seen)
        return await self._go_on(intent, known, seen)

    async def _go_on(self, intent: CloneIntent, known: Handle | None, seen: Seen | None) -> Progress:
        """Take a clone that is not finished one step on."""
        if known is not None and (seen is None or seen.unnamed or _is(seen.mark, intent.stamp)):
            told = await self._copying.followed(known, seen)
            if told is not None:
                return told
        template = await self._template(intent)
        _require_place(intent, template)
        step = await self._copying.step(self._job(intent, template), known, seen)
        if isinstance(step, There):
            return await self._configure(intent, template, step)
        if known is not None and not known.upid and "UPID" in step.handle:
            # The copy has begun and its task must be remembered: whatever speaks against the seed is told later.
            with suppress(CloneError, Refused):
                await self._seeds.begin(intent, template.node)
        return step

    def _whole(self, seen: Seen) -> bool:
        """Tell whether a clone is finished: its tags were written last."""
        return isinstance(seen.mark, CloneMark) and marks.clone_tags(seen.mark.stamp) <= configs.tags(seen.config)

    async def _template(self, intent: CloneIntent) -> Seen:
        """Return the template that the clone is made from."""
        known = handles.read(intent.frozen_handle)
        seen = await self._site.look(known.vmid, known.node) if known is not None else None
        if seen is None or known is None or not seen.template:
            raise CloneFailed(
                f"the frozen point ({intent.frozen_handle or 'without a handle'}) is not there (any more)"
            )
        if not known.borrowed and not (
            isinstance(seen.mark, marks.FrozenMark) and seen.mark.token == intent.frozen_token
        ):
            raise CloneFailed(
                f"VM {seen.vmid} is not the frozen point {intent.frozen_token} any more: it is left alone"
            )
        return seen

    def _job(self, intent: CloneIntent, template: Seen) -> Job:
        mark = CloneMark(stamp=intent.stamp, token=intent.token, made_from=intent.made_from)
        place = self._site.place
        full = intent.copy is DiskCopy.FULL
        asked: dict[str, object] = {"name": intent.vm_name, "full": int(full)}
        asked |= {"pool": place.pool} if place.pool else {}
        storage = intent.pool or (place.storage if full else "")
        asked |= {"storage": storage} if full and storage else {}
        return Job(
            source=Handle(node=template.node, vmid=template.vmid),
            seed=intent.stamp.incarnation,
            mark=mark,
            ours=lambda found: _is(found, intent.stamp),
            parameters=asked,
        )

    async def _configure(self, intent: CloneIntent, template: Seen, there: There) -> Progress:
        """Set a copy safe, and say that it is."""
        seen, handle = there.seen, there.handle
        if gone := safe.missing_disks(template.config, seen.config):
            named = ", ".join(one for one in gone if not configs.is_drive(one) or _copied(template, one))
            if named:
                raise CloneFailed(f"VM {seen.vmid} ({seen.name}) lacks {named} of its template: remove it to try again")
        seed = await self._seeds.put(intent, seen.node)
        if not seed.there:
            return running(handle, "its cloud-init seed is uploaded", seconds=1)
        like = await self._clean.likeness(intent)
        seen = await self._set_safe(intent, seen, seed.volume, like)
        if growing := await self._clean.grow(like, seen, handle):
            return growing
        if problem := safe.exposed(seen.config, seen.vmid):
            raise SourceExposed(problem)
        if await self._site.pve.managed_by_ha(seen.node, seen.vmid):
            raise CloneFailed(
                f"HA looks after the id {seen.vmid} from a VM that had it before, and would switch the clone on and"
                f" move it: ha-manager remove vm:{seen.vmid}"
            )
        tags = ";".join(sorted(marks.clone_tags(intent.stamp)))
        await self._site.pve.set_config(seen.node, seen.vmid, {"tags": tags, "digest": seen.digest})
        return _done(handle, seen)

    async def _set_safe(self, intent: CloneIntent, seen: Seen, seed: str, like: Likeness | None) -> Seen:
        cards: tuple[configs.Card, ...] | None = None
        if like is not None:
            intent, cards = replace(intent, shape=like.shape), like.cards
        for _ in range(_MOST_CHANGES):
            change = safe.change_for(seen.config, intent, seed=seed, cards=cards)
            if not change:
                return seen
            await self._site.pve.set_config(seen.node, seen.vmid, change.parameters(seen.digest))
            fresh = await self._site.look(seen.vmid, seen.node)
            if fresh is None or not _is(fresh.mark, intent.stamp):
                raise RetryLater(f"VM {seen.vmid} became another one while it was configured")
            seen = fresh
        left = safe.change_for(seen.config, intent, seed=seed, cards=cards)
        named = ", ".join([*left.set, *left.delete])
        raise CloneFailed(f"VM {seen.vmid} ({seen.name}) does not take these settings: {named}")

    async def owned(self, ref: CloneRef) -> Seen:
        """Return the VM of a clone, whole; raises OwnershipMismatch for another's, RetryLater where it is not made."""
        seen = await self._locate(ref)
        if seen is None:
            raise OwnershipMismatch(f"no VM carries the mark of {ref.vm_name or ref.stamp.incarnation}")
        return seen

    async def with_guest(self, ref: CloneRef) -> Seen:
        """Return the VM of a clone for a word with its guest: as it was a moment ago, where it was looked at then."""
        known = handles.read(ref.handle)
        seen = self._site.just_seen(known.vmid) if known is not None else None
        return seen if seen is not None and _is(seen.mark, ref.stamp) else await self.owned(ref)

    async def find_one(self, ref: CloneRef) -> ObservedClone | None:
        """Return the finished clone of this installation and incarnation as it is now; None when there is none."""
        seen = await self._at(ref)
        if seen is None or not _same(seen.mark, ref.stamp):
            tag = marks.incarnation_tag(ref.stamp.incarnation)
            rows = await self._site.tagged(tag)
            looked = [await self._site.look(int(row["vmid"]), str(row["node"])) for row in rows]
            seen = next((one for one in looked if one is not None and _same(one.mark, ref.stamp)), None)
        return await self._observed(seen) if seen is not None and self._whole(seen) else None

    async def find(self, owner: Owner) -> Sequence[ObservedClone]:
        """Return the finished clones of an owner."""
        found = []
        for row in await self._site.tagged(marks.instance_tag(owner.instance)):
            seen = await self._site.look(int(row["vmid"]), str(row["node"]))
            if seen is None or not isinstance(seen.mark, CloneMark) or not self._whole(seen):
                continue
            if seen.mark.stamp.belongs_to(owner):
                found.append(await self._observed(seen, row))
        return found

    async def _observed(self, seen: Seen, row: Row | None = None) -> ObservedClone:
        """Return a clone as the contract shows it; power from a list that knows it, else asked for."""
        mark = seen.mark
        assert isinstance(mark, CloneMark)  # noqa: S101 - the callers looked
        said = str(row.get("status", "unknown")) if row is not None else "unknown"
        on = await self._site.is_running(seen) if said == "unknown" else said == "running"
        cards = configs.cards(seen.config)
        return ObservedClone(
            stamp=mark.stamp,
            token=mark.token,
            external_id=str(seen.vmid),
            vm_name=seen.name,
            complete=True,
            power=Power.ON if on else Power.OFF,
            connected=all(one.up for one in cards),
            agent=on and configs.agent_configured(seen.config),
            shape=shape(seen),
            made_from=mark.made_from,
        )

    async def unstamped(self, ref: CloneRef) -> str:
        """Return the VM at a clone's id that is the clone by its UUID and does not carry its mark; else nothing."""
        seen = await self._at(ref)
        if seen is None or not self._is_by_uuid(seen, ref.stamp):
            return ""
        return "" if _is(seen.mark, ref.stamp) else seen.name

    async def delete(self, ref: CloneRef) -> Progress:
        """Remove a clone one step on, at whatever stage it is; DONE when its VM, disks and seed are gone."""
        known = handles.read(ref.handle)
        at = await self._site.look(known.vmid, known.node) if known is not None else None
        if known is not None and (at is None or at.unnamed):
            told = await self._removing.stop_copy(known, at)
            if told is not None:
                return replace(told, handle=ref.handle)
        seen = await self._locate(ref)
        if seen is None:
            return await self._after(ref, known, at)
        if seen.lock == "clone":
            handle = known if known is not None and known.vmid == seen.vmid else None
            return await self._removing.stop_locked(handle or Handle(node=seen.node, vmid=seen.vmid), seen)
        return await self._removing.remove(seen, keep_protected=self._whole(seen))

    async def _after(self, ref: CloneRef, known: Handle | None, at: Seen | None) -> Progress:
        """Look for what a VM that is gone left; nothing at an id where a stranger is by now."""
        if known is not None and at is None:
            told = await self._removing.after(known.vmid, known.node)
            if told.state is not OperationState.DONE:
                return replace(told, handle=ref.handle)
        gone = await self._seeds.remove(ref.stamp, known.node if known is not None else "")
        return DONE if gone else running(known or _NOWHERE, "its seed is removed", seconds=1)

    async def disown(self, ref: CloneRef) -> bool:
        """Take our mark and tags off a clone; return whether a VM stands there without it."""
        at = await self._at(ref)
        if at is not None and at.mark is None and self._is_by_uuid(at, ref.stamp):
            return True
        seen = await self._locate(ref)
        if seen is None:
            return False
        text = marks.without(str(seen.config.get("description", "")))
        kept = sorted(configs.tags(seen.config) - marks.clone_tags(ref.stamp))
        asked: dict[str, object] = {"description": text, "digest": seen.digest}
        asked |= {"tags": ";".join(kept)} if kept else {"delete": "tags"}
        await self._site.pve.set_config(seen.node, seen.vmid, asked)
        return True

    async def _at(self, ref: CloneRef) -> Seen | None:
        """Return the VM where the ledger says that the clone is, whoever's it is."""
        known = handles.read(ref.handle)
        return await self._site.look(known.vmid, known.node) if known is not None else None

    def _is_by_uuid(self, seen: Seen, stamp: Stamp) -> bool:
        return self._site.uuid_of(seen) == naming.clone_uuid(stamp.incarnation)

    async def _locate(self, ref: CloneRef) -> Seen | None:
        """Return the VM that carries exactly this stamp: where the ledger says, else by its tag or name.

        Raises OwnershipMismatch for the very clone under another stamp, or without one.
        """
        seen = await self._at(ref)
        if seen is not None and _is(seen.mark, ref.stamp):
            return seen
        if seen is not None and self._is_by_uuid(seen, ref.stamp):
            raise mismatch(seen.name, _stamp(seen.mark), ref.stamp)
        return await self._find(ref.stamp, ref.vm_name)

    async def _find(self, stamp: Stamp, vm_name: str, *, conflicts: bool = False) -> Seen | None:
        """Return the VM of a stamp by its tag or name; `conflicts`: raises TargetConflict for a name that is held.

        Raises OwnershipMismatch where none carries the stamp, and one is the clone by its UUID. A backup that was
        restored under another id has all that: it says itself of which VM it is a copy, and holds nothing up.
        """
        held: Seen | None = None
        unmarked: Seen | None = None
        tag = marks.incarnation_tag(stamp.incarnation)
        for row in await self._site.tagged(tag, lambda row: bool(vm_name) and row.get("name") == vm_name):
            seen = await self._site.look(int(row["vmid"]), str(row["node"]))
            if seen is not None and _is(seen.mark, stamp):
                return seen
            if seen is None:
                continue
            if self._is_by_uuid(seen, stamp) and not marks.is_copied(seen.config, seen.vmid):
                unmarked = unmarked or seen
            held = seen if seen.name == vm_name and not seen.unnamed else held
        if unmarked is not None:
            raise mismatch(unmarked.name, _stamp(unmarked.mark), stamp)
        if conflicts and held is not None:
            raise TargetConflict(f"VM {held.vmid} is named {held.name}, as the clone is to be: rename it")
        return None


_NOWHERE = Handle(node="", vmid=0)


def _is(mark: Mark | None, stamp: Stamp) -> bool:
    return isinstance(mark, CloneMark) and mark.stamp == stamp


def _same(mark: Mark | None, stamp: Stamp) -> bool:
    """Tell whether a mark is of the same clone of this installation, whatever else of its stamp differs."""
    if not isinstance(mark, CloneMark):
        return False
    return (mark.stamp.instance, mark.stamp.incarnation) == (stamp.instance, stamp.incarnation)


def _require_place(intent: CloneIntent, template: Seen) -> None:
    """Raise CapabilityMissing for linked disks elsewhere than their template's, which the server cannot make."""
    held = sorted({one.storage for one in configs.disks(template.config)})
    if intent.copy is DiskCopy.LINKED and intent.pool and held != [intent.pool]:
        raise CapabilityMissing(
            f"linked clones lie where their template is ({', '.join(held)}), not on {intent.pool}: write disk.copy:"
            " Full, or leave disk.pool out"
        )


def _stamp(mark: Mark | None) -> Stamp | None:
    return mark.stamp if isinstance(mark, CloneMark) else None


def _token(mark: Mark | None) -> str:
    return mark.token if isinstance(mark, CloneMark) else ""


def _copied(template: Seen, key: str) -> bool:
    """Tell whether a drive of the template is one that a clone has too."""
    return configs.drive(key, str(template.config.get(key, "none"))).disk


def _done(handle: Handle, seen: Seen) -> Progress:
    now = replace(handle, vmid=seen.vmid)
    return Progress(state=OperationState.DONE, percent=100, handle=str(now), external_id=str(seen.vmid))
