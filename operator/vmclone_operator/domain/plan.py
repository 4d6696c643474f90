"""The heart: given what is known of one replica, which single step comes next, and what people are told.

Pure: no clock, no I/O, no framework. A pass gathers a `Situation`, calls `decide`, and carries the answer out.
Nothing here reads a recorded step: what is at the provider and what the guest says decides, so a pass
after any crash goes on where the last one was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from vmclone_operator.api.replica import GuestStatus, IntentStatus
from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain import boot_console
from vmclone_operator.domain.backend import GuestRunState, Mode, ObservedClone, Power
from vmclone_operator.domain.conditions import Progress
from vmclone_operator.domain.drift import DriftKind, drift_of
from vmclone_operator.domain.guest_answers import GuestProbe, IdentityState
from vmclone_operator.domain.guest_keys import Change, KeysSituation
from vmclone_operator.domain.guest_tasks import LOOK_SECONDS, TaskView
from vmclone_operator.domain.home_copy import ENDED, RUNS, HomeSituation, decide_home
from vmclone_operator.domain.steps import Blocker, Decision, Do, Step, act, stalled, wait, waits_in_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that one decision about one replica rests on."""

    incarnation: str
    mode: Mode = Mode.DISK
    paused: bool = False
    blocker: Blocker | None = None
    """The source or backend may not be used now; clones that exist are kept."""
    turn: bool = True
    """False while `maxInFlight` other replicas go first."""
    intent: IntentStatus | None = None
    frozen: FrozenPointStatus | None = None
    """The newest complete frozen point."""
    clone: ObservedClone | None = None
    foreign: str = ""
    """The VM that has the clone's UUID while none carries its stamp."""
    foreign_instance: str = ""
    """The instance of the operator whose stamp that VM carries, if it is the very clone."""
    provisioned: bool = False
    """The ledger says that the clone was complete."""
    adopted: bool = False
    """Its clone was there before it, complete; the ledger may not know yet."""
    guest: GuestStatus | None = None
    """The identity that was verified and recorded."""
    probe: GuestProbe | None = None
    task: TaskView | None = None
    """The task that resets the identity, where guests run tasks; None where they answer commands."""
    problems: tuple[str, ...] = ()
    """What is wrong with the identity the probe shows."""
    problem_reason: str = ""
    """The condition reason of the first of them."""
    warn_only: bool = False
    """The user goes on without proof."""
    source_unknown: bool = False
    """Its CloneSource is gone or withdrawn: nobody says any more what a disk of it must lose."""
    scrub_outdated: bool = False
    """The guest was scrubbed by other rules than those that are in force."""
    addresses: tuple[str, ...] = ()
    address_conflict: str = ""
    """The sibling that holds one of the addresses, if any."""
    boot_overdue: bool = False
    console: str = ""
    """What its serial console said last, raw; asked for only while a boot is overdue and the agent never answered."""
    clone_overdue: bool = False
    """The disks are not complete after `timeouts.clone`."""
    power: Power = Power.ON
    """How the clone is to be delivered."""
    delivered: bool = False
    """It was ready once: a clone that is delivered switched off is then left as people switch it."""
    home: HomeSituation = field(default_factory=HomeSituation)
    keys: KeysSituation = field(default_factory=KeysSituation)


_BOOTING = Decision(do=Do.NOTHING, step=Step.BOOT, reason="Booting", message="the clone boots", again_seconds=0)
_CONNECTING = Decision(
    do=Do.NOTHING,
    step=Step.VERIFY,
    reason="WaitingForAddress",
    message="its identity is proven; waits for the guest to get an address",
    again_seconds=0,
)


_RESETTING = act(Do.RESERVE_TASK, Step.IDENTITY, "Resetting", "the clone gets its own identity")
"""Where guests run tasks, the run is written down first."""


def booting(mode: Mode) -> Decision:
    """Return the words for a clone that boots."""
    how = "the clone boots, its network links down" if mode is Mode.DISK else "the clone boots, cloud-init sets it up"
    return replace(_BOOTING, message=how)


Rule = Callable[[Situation], "Decision | None"]


def decide(situation: Situation) -> Decision:
    """Return the next step; the first rule that speaks wins, and the last one always does."""
    for rule in (
        _missing,
        _end_copy,
        _paused,
        _waits_for_source,
        _make,
        _boot,
        _identity,
        _switch_off,
        _connect,
        _home,
    ):
        decision = rule(situation)
        if decision is not None:
            return _overdue(situation, decision)
    return _verify(situation)


def _overdue(s: Situation, decision: Decision) -> Decision:
    """Say of disks that take too long that they do; they are waited for all the same."""
    if not s.clone_overdue or decision.step is not Step.CLONE or decision.reason != "Cloning":
        return decision
    message = (
        "the clone's disks are not complete after spec.timeouts.clone; it goes on, look at the backend's storage, or"
        " delete this VMCloneReplica to begin anew"
    )
    return replace(decision, reason="CloneTimedOut", message=message, progress=Progress.STALLED)


def _missing(s: Situation) -> Decision | None:
    """A clone that was complete and is gone was deleted by hand: the replica is made again under a new incarnation."""
    if s.clone is not None or not (s.provisioned or s.adopted):
        return None
    drift = drift_of(None, None, foreign=s.foreign, instance=s.foreign_instance)
    if drift is not None and drift.kind is DriftKind.FOREIGN:
        return stalled(Step.CLONE, drift.kind, drift.message)
    message = "the clone was deleted at the backend; the replica is made again"
    return replace(act(Do.REPORT_MISSING, Step.CLONE, "Missing", message), again_seconds=60)


def _end_copy(s: Situation) -> Decision | None:
    """What a copy made is cleared away whatever else is the matter; a pause ends one that runs."""
    operation = s.home.operation
    if s.clone is None or operation is None:
        return None
    return decide_home(s.home) if s.paused and operation.kind in {RUNS, ENDED} else None


def _paused(s: Situation) -> Decision | None:
    if not s.paused or _settled(s):
        return None
    return stalled(_step_reached(s), "Paused", "paused by spec.paused; set it to false to go on")


def _settled(s: Situation) -> bool:
    if s.clone is None or s.guest is None or not s.clone.connected:
        return False
    if s.power is Power.OFF:
        return s.delivered
    return s.clone.power is Power.ON and bool(s.guest.addresses) and not (s.home.wanted and not s.home.request)


def _may_be_off(s: Situation) -> bool:
    """Return whether nothing needs the clone to run: it is to be off, and its guest has done its part."""
    return s.power is Power.OFF and s.guest is not None and (s.delivered or not _copy_due(s))


def _copy_due(s: Situation) -> bool:
    return s.home.wanted or s.home.operation is not None


def _step_reached(s: Situation) -> Step:
    if s.clone is None:
        return Step.RESERVE if s.intent is None else Step.CLONE
    return Step.BOOT if s.guest is None else Step.VERIFY


def _waits_for_source(s: Situation) -> Decision | None:
    """Without consent nothing new begins; a clone that exists is kept, and finished if it already runs."""
    if s.blocker is None or s.clone is not None:
        return None
    return stalled(Step.RESERVE, s.blocker.reason, s.blocker.message)


def _make(s: Situation) -> Decision | None:
    if s.clone is not None:
        return _record_or_wait(s.clone, s.mode, provisioned=s.provisioned)
    if s.frozen is None:
        return waits_in_line(Step.FREEZE, "WaitingForFrozenPoint", "waits for the frozen point of the source")
    if not s.turn:
        return waits_in_line(Step.CLONE, "WaitingForSlot", "waits for a free slot (maxInFlight)")
    making = act(Do.START_CLONE, Step.CLONE, "Cloning", "the clone's disks are being made")
    begun = s.intent is not None and s.intent.frozen_point == s.frozen.id
    return making if begun else replace(making, do=Do.RESERVE)


def _record_or_wait(clone: ObservedClone, mode: Mode, *, provisioned: bool) -> Decision | None:
    if not clone.complete:
        return wait(Step.CLONE, "Cloning", "the clone's disks are being made", 1)
    if not provisioned:
        return replace(booting(mode), do=Do.RECORD_CLONE)
    return None


def _boot(s: Situation) -> Decision | None:
    if s.clone is None:
        return None
    if s.clone.power is not Power.ON:
        return None if _may_be_off(s) else replace(booting(s.mode), do=Do.POWER_ON)
    if s.guest is not None or (s.clone.agent and s.probe is not None and s.probe.booted):
        return None
    return _not_booted(s, s.clone)


def _not_booted(s: Situation, clone: ObservedClone) -> Decision:
    told = s.probe is not None and s.task is not None and not s.task.old
    if clone.agent and s.task is not None and not (s.boot_overdue and told):
        return _by_task(s, s.task)
    if s.boot_overdue:
        verdict = (
            boot_console.overdue_boot(s.console, clone.vm_name)
            if s.probe is None
            else boot_console.unfinished_boot(s.probe.system_state)
        )
        return stalled(Step.BOOT, verdict.reason, verdict.message, seconds=15)
    if s.probe is not None and s.probe.waiting_for_network:
        return replace(booting(s.mode), do=Do.RELEASE_NETWORK_WAIT, again_seconds=2)
    return replace(booting(s.mode), again_seconds=5)  # a probe costs an emulated guest a second of its own CPU


def _by_task(s: Situation, task: TaskView) -> Decision:
    """Have one task wait for the boot, reset and read back; its run is in the ledger before it starts.

    The guest has not told yet that it is booted: the task was not begun, runs, or ended without saying so.
    """
    blocked = _scrub_unknown(s)
    if blocked is not None:
        return blocked
    if task.state is GuestRunState.ABSENT:
        return replace(_RESETTING, do=Do.RESET_IDENTITY)
    if task.state is GuestRunState.RUNNING:
        return replace(_RESETTING, do=Do.NOTHING, again_seconds=LOOK_SECONDS)
    if task.state is None or task.probe is not None:  # it waited for the boot as long as a task may
        return _RESETTING
    message = f"the identity task told nothing: {task.error}; it is tried again"
    return replace(_RESETTING, reason="ResetFailed", message=message, again_seconds=15)


def _scrub_unknown(s: Situation) -> Decision | None:
    if s.mode is not Mode.DISK or not s.source_unknown or s.blocker is None:
        return None
    message = f"{s.blocker.message}; the clone stays disconnected, for its owner's scrub is not known"
    return stalled(Step.IDENTITY, s.blocker.reason, message)


def _identity(s: Situation) -> Decision | None:
    if s.guest is not None or s.probe is None:
        return None
    blocked = _scrub_unknown(s)
    if blocked is not None:
        return blocked
    state = s.probe.state_of(s.incarnation)
    reset = _RESETTING if s.task is not None else replace(_RESETTING, do=Do.RESET_IDENTITY)
    if state is IdentityState.NONE or (state is IdentityState.DONE and _scrub_due(s)):
        return reset
    if state is IdentityState.RUNNING:  # after a task: it waited for the end as long as a task may
        return reset if s.task is not None else wait(Step.IDENTITY, reset.reason, reset.message, 3)
    if state is IdentityState.FAILED:
        message = f"the identity reset failed in the guest: {s.probe.identity_error}; it is tried again"
        return replace(reset, reason="ResetFailed", message=message, again_seconds=15)
    return _judged(s, needs_reboot=s.probe.needs_reboot)


def _scrub_due(s: Situation) -> bool:
    """Return whether the guest is to be scrubbed by the rules of now; once it is connected, people work in it."""
    return s.scrub_outdated and not (s.clone is not None and s.clone.connected)


def _judged(s: Situation, *, needs_reboot: bool) -> Decision:
    """An identity that is done is recorded when it is proven, or when the user goes on without proof."""
    if needs_reboot:
        message = "the guest asks to be rebooted before it is connected"
        return replace(act(Do.POWER_OFF, Step.IDENTITY, "Rebooting", message), again_seconds=5)
    if s.problems and not s.warn_only:
        if s.task is not None and s.task.old:
            return replace(_RESETTING, reason=s.problem_reason, message=f"{'; '.join(s.problems)}; it is asked again")
        return stalled(Step.IDENTITY, s.problem_reason, "; ".join(s.problems))
    return replace(_CONNECTING, do=Do.RECORD_IDENTITY)


def _switch_off(s: Situation) -> Decision | None:
    """A clone that is delivered off goes off before its links go up; later it is left as people switch it."""
    if s.clone is None or s.clone.power is Power.OFF or s.delivered or not _may_be_off(s):
        return None
    message = "its identity is proven; it is switched off, as spec.template.power says"
    return replace(act(Do.POWER_OFF, Step.VERIFY, "SwitchingOff", message), again_seconds=5)


def _connect(s: Situation) -> Decision | None:
    if s.clone is None or s.clone.connected:
        return None
    return replace(_CONNECTING, do=Do.CONNECT)


def _home(s: Situation) -> Decision | None:
    """The home is carried over once the clone can be reached; a refresh, once it is ready."""
    off = s.clone is not None and s.clone.power is Power.OFF and _may_be_off(s)
    begun = s.home.operation is not None and s.home.operation.kind in {RUNS, ENDED}  # it must not keep its turn
    return None if off and not begun else decide_home(s.home)


_READY = Decision(do=Do.NOTHING, step=Step.READY, reason="Ready", message="ready", progress=Progress.SETTLED)


def _verify(s: Situation) -> Decision:
    if s.address_conflict:
        message = f"its address is also held by {s.address_conflict}; fix the guest's network settings"
        return stalled(Step.VERIFY, "DuplicateAddress", message, seconds=15)
    known = s.guest is not None and bool(s.guest.addresses)
    if not s.addresses and not known and not _may_be_off(s):
        return replace(_CONNECTING, again_seconds=1)
    first = s.power is Power.OFF and not s.delivered
    if first or (s.addresses and s.guest is not None and s.addresses != s.guest.addresses):
        return replace(_READY, do=Do.RECORD_READY)
    return _READY


_KEYS = {Change.RECORD: Do.RECORD_KEYS, Change.REPLACE: Do.REPLACE_KEYS}
_GIVE_KEYS = {
    Mode.DISK: frozenset({Do.RESERVE_TASK, Do.RESET_IDENTITY}),
    Mode.CLEAN: frozenset({Do.START_CLONE, Do.RESERVE_TASK, Do.RESET_IDENTITY}),
}
"""What puts keys into a clone before its identity is recorded; in mode Clean cloud-init's seed has them, too."""
_WAIT_FOR_KEYS = frozenset({Do.NOTHING, Do.RESERVE_COPY, Do.START_COPY, Do.CLEAN_COPY})
"""A key that is wanted no more does not stay in for these: a copy may wait, run or fail for days."""


def with_keys(s: Situation, decision: Decision) -> Decision:
    """Return the decision, or the same words with what is done about changed keys before it.

    For example, a replica whose home copy stands in line goes on saying so while a key is taken out of its clone.
    """
    change = s.keys.change
    if s.guest is None:
        record = change is Change.RECORD and decision.do in _GIVE_KEYS[s.mode]
        return replace(decision, do=Do.RECORD_KEYS, again_seconds=0) if record else decision
    if s.clone is None or not s.clone.connected or change is Change.NONE:
        return decision
    if decision.do is Do.RECORD_READY:  # says once that it is ready; the keys follow at once
        return replace(decision, again_seconds=0)
    if change in _KEYS and decision.do in _WAIT_FOR_KEYS:
        return replace(decision, do=_KEYS[change], again_seconds=0)
    if decision.do is not Do.NOTHING:
        return decision
    tells = change is Change.TAKEN_BACK or bool(s.keys.pending)
    again = _sooner(decision.again_seconds, s.keys.again_seconds)
    return replace(decision, do=Do.TELL_KEYS if tells else Do.NOTHING, again_seconds=again)


def _sooner(one: float | None, other: float | None) -> float | None:
    """Return the shorter of two waits; None is one until an event tells."""
    return min((wait for wait in (one, other) if wait is not None), default=None)
