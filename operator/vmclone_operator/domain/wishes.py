"""What a wish comes to at a backend: how disks are made there, what the plan is, and what it costs. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vmclone_operator.api.plan import PlanAction, PlanEstimate, PlanResource, PlanStatus
from vmclone_operator.domain.backend import (
    Capabilities,
    Consistency,
    DiskCopy,
    Finding,
    GuestChannel,
    Mode,
    Power,
    Resource,
    Shape,
    SourceInfo,
)
from vmclone_operator.domain.rollout import ReplicaChanges, ReplicaView
from vmclone_operator.domain.steps import Blocker

BYTES_PER_LINKED_CLONE = 64 << 20
"""What a fresh overlay takes until its guest has its identity."""
BYTES_PER_SECOND = 200 << 20
"""What one disk of today writes, many copies together."""
SECONDS_PER_CLONE = 60
"""From switched on to Ready: boot, identity, address."""
_HASH_DIGITS = 8
_MESSAGE_LIMIT = 1000
_MOST_BLOCKERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyChoice:
    """How disks are made, and why not as one would expect."""

    actual: DiskCopy
    fallback_reason: str = ""
    refused: str = ""
    """Why the backend cannot do what is asked; empty when it can."""


def choose_copy(requested: str, able: Capabilities) -> CopyChoice:
    """Return how disks are made: Auto takes what there is, Linked and Full never change silently."""
    can = {DiskCopy.LINKED: able.linked, DiskCopy.FULL: able.full}
    if requested == "Auto":
        if able.linked or not able.full:
            return CopyChoice(actual=DiskCopy.LINKED, refused="" if able.linked else _cannot("Auto"))
        return CopyChoice(actual=DiskCopy.FULL, fallback_reason="the backend cannot make linked clones")
    actual = DiskCopy(requested)
    return CopyChoice(actual=actual, refused="" if can[actual] else _cannot(requested))


def _cannot(requested: str) -> str:
    return f"the backend cannot do spec.disk.copy: {requested}; write Auto, or clone on another backend"


def missing_capabilities(able: Capabilities, mode: Mode, choice: CopyChoice, shape: Shape) -> tuple[Finding, ...]:
    """Return what the backend cannot do of a wish, before anything is asked of it."""
    sentences = [choice.refused] if choice.refused else []
    if mode not in able.modes:
        sentences.append(f"the backend cannot do mode {mode.value}; use another mode, or another backend")
    if able.guest is GuestChannel.NONE:
        sentences.append("the backend runs no commands in a guest, so no clone's identity can be proven; use another")
    if shape.size and not able.sizes:
        told = "template.size: the backend has no VM sizes; leave it out, and use template.cpus and template.memory"
        sentences.append(told)
    return _missing(sentences)


def cannot_freeze(able: Capabilities, power: Power, consistency: Consistency, *, stops: bool) -> tuple[Finding, ...]:
    """Return why a backend cannot freeze a source as it is; `stops`: it is switched off before that."""
    if power is Power.OFF or stops:
        return ()
    if not able.freeze_running:
        told = "the backend cannot freeze a source that runs; switch it off, or set spec.sourcePower to StopForClone"
        return _missing([told])
    if consistency is Consistency.QUIESCED and not able.quiesce:
        told = "the backend cannot quiesce a running source; set spec.disk.consistency to CrashConsistent"
        return _missing([told])
    return ()


def _missing(sentences: Sequence[str]) -> tuple[Finding, ...]:
    return tuple(Finding(reason="CapabilityMissing", message=sentence) for sentence in sentences)


def actions_of(
    changes: ReplicaChanges,
    replaced: Sequence[ReplicaView],
    unfinished: Collection[int],
    sessions: Mapping[int, str],
    *,
    expired: bool = False,
    adopted: Collection[int] = (),
) -> tuple[PlanAction, ...]:
    """Return what is about to be done, by session; what is removed only to be made again says so in both."""
    remade = [(view, "Missing") for view in changes.remake] + [(view, "Replace") for view in replaced]
    gone = [(view, "Expired" if expired else "ScaleDown") for view in changes.delete]
    deletes = [("Delete", view.ordinal, why) for view, why in (*gone, *remade)]
    creates = [
        *(("Adopt", n, "Found") if n in adopted else ("Create", n, "ScaleUp") for n in changes.create),
        *(("Create", view.ordinal, why) for view, why in remade),
        *(("Create", ordinal, "Unfinished") for ordinal in sorted(unfinished)),
    ]
    named = [(op, sessions.get(ordinal, str(ordinal)), why) for op, ordinal, why in (*deletes, *creates)]
    return tuple(PlanAction(op=op, replica=session, why=why) for op, session, why in named)


def plan_hash(actions: Sequence[PlanAction], wish: Mapping[str, object]) -> str:
    """Return the name of exactly this plan; empty for one without actions.

    `wish` is what the clones are made of and from: whoever approves a plan approves that, too.
    """
    if not actions:
        return ""
    return digest(wish) + digest([[a.op, a.replica, a.why] for a in actions])


def digest(part: object) -> str:
    """Return the first half of a plan's hash for its wish, the second for its actions."""
    canonical = json.dumps(part, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_HASH_DIGITS]


def under_way(previous: PlanStatus, actions: Sequence[PlanAction], approved: str) -> bool:
    """Return whether what is left to do is a part of the plan that was approved: it needs no second word.

    A replica whose object is there already was let through before.
    """
    if not approved or previous.hash != approved or previous.blockers:
        return False
    allowed = {(a.op, a.replica) for a in previous.actions}
    return all((a.op, a.replica) in allowed for a in actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an estimate rests on."""

    clones: int
    at_a_time: int
    disk_bytes: int
    """What the source's disks, or the image, hold."""
    new_point: bool
    """True when the source has to be frozen first."""
    full: bool


def disk_bytes(info: SourceInfo) -> int:
    """Return what the disks of a source hold that are copied."""
    return sum(disk.allocated_bytes for disk in info.disks if not disk.shared)


def estimate(cost: Cost, resources: Sequence[Resource] = ()) -> PlanEstimate:
    """Return what the plan writes and how long it takes, roughly.

    Bytes: the frozen point if one must be taken, then for each clone its overlay, or a copy of all.
    Seconds: those bytes at 200 MiB/s, and 60 s for each wave of `rollout.maxInFlight` clones to boot and get an
    identity. Both are orders of magnitude, not promises.
    """
    if not cost.clones:
        return PlanEstimate()
    each = cost.disk_bytes if cost.full else BYTES_PER_LINKED_CLONE
    written = (cost.disk_bytes if cost.new_point else 0) + cost.clones * each
    waves = -(-cost.clones // max(1, cost.at_a_time))
    return PlanEstimate(
        bytes=written,
        seconds=written // BYTES_PER_SECOND + waves * SECONDS_PER_CLONE,
        resources=tuple(PlanResource(kind=one.kind, size=one.size, count=one.count) for one in resources),
    )


def dry_run_blocker(mode: str) -> Blocker | None:
    """Return why a replica that was begun before the wish became a dry run gets no clone now."""
    if mode != "DryRun":
        return None
    return Blocker(reason="DryRun", message="spec.plan.mode is DryRun; set it to Auto or Manual to go on")


def reason_of(findings: Sequence[Finding]) -> str:
    """Return the condition reason for all findings together: their own when they agree."""
    reasons = {finding.reason for finding in findings}
    return reasons.pop() if len(reasons) == 1 else "Blocked"


def sentences(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the findings as status.plan.blockers has them."""
    return tuple(finding.message[:_MESSAGE_LIMIT] for finding in findings[:_MOST_BLOCKERS])
