"""The heart: given what is known of one replica, which single step comes next, and what people are told.

Pure: no clock, no I/O, no framework. A pass gathers a `Situation`, calls `decide`, and carries the answer out.
Nothing here reads a recorded step: what is at the provider and what the guest says decides, so a pass
after any crash goes on where the last one was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from vmclone_operator.api.replica import GuestStatus, IntentStatus
from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain.backend import ObservedClone, Power
from vmclone_operator.domain.conditions import Progress
from vmclone_operator.domain.guest_answers import GuestProbe, IdentityState


class Do(StrEnum):
    """What the pass carries out; at most one change a pass."""

    NOTHING = "Nothing"
    RESERVE = "Reserve"
    START_CLONE = "StartClone"
    RECORD_CLONE = "RecordClone"
    POWER_ON = "PowerOn"
    RELEASE_NETWORK_WAIT = "ReleaseNetworkWait"
    RESET_IDENTITY = "ResetIdentity"
    RECORD_IDENTITY = "RecordIdentity"
    CONNECT = "Connect"
    RECORD_READY = "RecordReady"
    REPORT_MISSING = "ReportMissing"


class Step(StrEnum):
    """The life of a replica, in order, as people see it."""

    RESERVE = "Reserve"
    FREEZE = "Freeze"
    CLONE = "Clone"
    BOOT = "Boot"
    IDENTITY = "Identity"
    VERIFY = "Verify"
    READY = "Ready"

    @property
    def percent(self) -> int:
        """Return how far a replica in this step is, 0 to 100."""
        return {"Reserve": 0, "Freeze": 5, "Clone": 15, "Boot": 25, "Identity": 70, "Verify": 90, "Ready": 100}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """Why nothing may be begun: a condition reason and a sentence."""

    reason: str
    message: str
    retrying: bool = False
    """True when it goes away by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that one decision about one replica rests on."""

    incarnation: str
    paused: bool = False
    blocker: Blocker | None = None
    """The source or backend may not be used now; clones that exist are kept."""
    turn: bool = True
    """False while `maxInFlight` other replicas go first."""
    intent: IntentStatus | None = None
    frozen: FrozenPointStatus | None = None
    """The newest complete frozen point."""
    clone: ObservedClone | None = None
    provisioned: bool = False
    """The ledger says that the clone was complete."""
    guest: GuestStatus | None = None
    """The identity that was verified and recorded."""
    probe: GuestProbe | None = None
    problems: tuple[str, ...] = ()
    """What is wrong with the identity the probe shows."""
    problem_reason: str = ""
    """The condition reason of the first of them."""
    addresses: tuple[str, ...] = ()
    address_conflict: str = ""
    """The sibling that holds one of the addresses, if any."""
    boot_overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The next step, and the words for status."""

    do: Do
    step: Step
    reason: str
    message: str
    progress: Progress = Progress.WORKING
    again_seconds: float | None = None
    """Look again after this long, if nothing wakes the replica before."""


BOOTING = Decision(
    do=Do.NOTHING, step=Step.BOOT, reason="Booting", message="the clone boots, its network links down", again_seconds=0
)
_CONNECTING = Decision(
    do=Do.NOTHING,
    step=Step.VERIFY,
    reason="WaitingForAddress",
    message="its identity is proven; waits for the guest to get an address",
    again_seconds=0,
)

Rule = Callable[[Situation], "Decision | None"]


def decide(situation: Situation) -> Decision:
    """Return the next step; the first rule that speaks wins, and the last one always does."""
    for rule in (_missing, _paused, _waits_for_source, _make, _boot, _identity, _connect):
        decision = rule(situation)
        if decision is not None:
            return decision
    return _verify(situation)


def _wait(step: Step, reason: str, message: str, seconds: float) -> Decision:
    return Decision(do=Do.NOTHING, step=step, reason=reason, message=message, again_seconds=seconds)


def _act(do: Do, step: Step, reason: str, message: str) -> Decision:
    return Decision(do=do, step=step, reason=reason, message=message, again_seconds=0)


def _stalled(step: Step, reason: str, message: str, seconds: float = 60) -> Decision:
    return Decision(
        do=Do.NOTHING, step=step, reason=reason, message=message, progress=Progress.STALLED, again_seconds=seconds
    )


def _missing(s: Situation) -> Decision | None:
    """A clone that was complete and is gone was deleted by hand: the replica is made again under a new incarnation."""
    if s.clone is not None or not s.provisioned:
        return None
    message = "the clone was deleted at the backend; the replica is made again"
    return replace(_act(Do.REPORT_MISSING, Step.CLONE, "Missing", message), again_seconds=60)


def _paused(s: Situation) -> Decision | None:
    if not s.paused or _settled(s):
        return None
    return _stalled(_step_reached(s), "Paused", "paused by spec.paused; set it to false to go on")


def _settled(s: Situation) -> bool:
    return bool(
        s.clone is not None
        and s.clone.power is Power.ON
        and s.clone.connected
        and s.guest is not None
        and s.guest.addresses
    )


def _step_reached(s: Situation) -> Step:
    if s.clone is None:
        return Step.RESERVE if s.intent is None else Step.CLONE
    return Step.BOOT if s.guest is None else Step.VERIFY


def _waits_for_source(s: Situation) -> Decision | None:
    """Without consent nothing new begins; a clone that exists is kept, and finished if it already runs."""
    if s.blocker is None or s.clone is not None:
        return None
    return _stalled(Step.RESERVE, s.blocker.reason, s.blocker.message)


def _make(s: Situation) -> Decision | None:
    if s.clone is not None:
        return _record_or_wait(s.clone, provisioned=s.provisioned)
    if s.frozen is None:
        wait = _wait(Step.FREEZE, "WaitingForFrozenPoint", "waits for the frozen point of the source", 30)
        return wait if s.intent is not None else replace(wait, do=Do.RESERVE)
    making = _act(Do.START_CLONE, Step.CLONE, "Cloning", "the clone's disks are being made")
    if s.intent is None:
        return replace(making, do=Do.RESERVE)
    if not s.turn:
        return _wait(Step.CLONE, "WaitingForSlot", "waits for a free slot (maxInFlight)", 5)
    return replace(making, do=Do.RESERVE) if s.intent.frozen_point != s.frozen.id else making


def _record_or_wait(clone: ObservedClone, *, provisioned: bool) -> Decision | None:
    if not clone.complete:
        return _wait(Step.CLONE, "Cloning", "the clone's disks are being made", 1)
    if not provisioned:
        return replace(BOOTING, do=Do.RECORD_CLONE)
    return None


def _boot(s: Situation) -> Decision | None:
    if s.clone is None:
        return None
    if s.clone.power is not Power.ON:
        return replace(BOOTING, do=Do.POWER_ON)
    if s.guest is not None or (s.clone.agent and s.probe is not None and s.probe.booted):
        return None
    if s.boot_overdue:
        return _stalled(
            Step.BOOT,
            "GuestAgentMissing",
            "the guest agent has not answered in time: install and enable qemu-guest-agent in the source,"
            " then delete this VMCloneReplica to rebuild it",
            seconds=15,
        )
    if s.probe is not None and s.probe.waiting_for_network:
        return replace(BOOTING, do=Do.RELEASE_NETWORK_WAIT, again_seconds=2)
    return replace(BOOTING, again_seconds=5)  # a probe costs an emulated guest a second of its own CPU


def _identity(s: Situation) -> Decision | None:
    if s.guest is not None or s.probe is None:
        return None
    state = s.probe.state_of(s.incarnation)
    if state is IdentityState.NONE:
        return _act(Do.RESET_IDENTITY, Step.IDENTITY, "Resetting", "the clone gets its own identity")
    if state is IdentityState.RUNNING:
        return _wait(Step.IDENTITY, "Resetting", "the clone gets its own identity", 3)
    if state is IdentityState.FAILED:
        message = f"the identity reset failed in the guest: {s.probe.identity_error}; it is tried again"
        return Decision(
            do=Do.RESET_IDENTITY, step=Step.IDENTITY, reason="ResetFailed", message=message, again_seconds=15
        )
    if s.problems:
        return _stalled(Step.IDENTITY, s.problem_reason, "; ".join(s.problems))
    return replace(_CONNECTING, do=Do.RECORD_IDENTITY)


def _connect(s: Situation) -> Decision | None:
    if s.clone is None or s.clone.connected:
        return None
    return replace(_CONNECTING, do=Do.CONNECT)


def _verify(s: Situation) -> Decision:
    if s.address_conflict:
        message = f"its address is also held by {s.address_conflict}; fix the guest's network settings"
        return _stalled(Step.VERIFY, "DuplicateAddress", message, seconds=15)
    known = s.guest is not None and bool(s.guest.addresses)
    if not s.addresses and not known:
        return replace(_CONNECTING, again_seconds=1)
    ready = Decision(do=Do.NOTHING, step=Step.READY, reason="Ready", message="ready", progress=Progress.SETTLED)
    if s.addresses and s.guest is not None and s.addresses != s.guest.addresses:
        return Decision(
            do=Do.RECORD_READY, step=ready.step, reason=ready.reason, message=ready.message, progress=ready.progress
        )
    return ready
