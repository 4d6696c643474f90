"""Every decision about one replica, as a table: the situation in a sentence, the step that follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmclone_operator.api.replica import GuestStatus, IntentStatus, OperationStatus
from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain.backend import Mode, ObservedClone, Power, Stamp
from vmclone_operator.domain.conditions import Progress
from vmclone_operator.domain.guest import GuestProbe, IdentityState
from vmclone_operator.domain.guest_keys import Change, KeysSituation
from vmclone_operator.domain.guest_tasks import TaskView
from vmclone_operator.domain.home_copy import RETRY, RUNS, CopyJobView, HomeSituation, JobState
from vmclone_operator.domain.plan import Situation, decide, with_keys
from vmclone_operator.domain.steps import Blocker, Decision, Do, Step

ME = "4f1d0000-0000-4000-8000-000000000001"
STAMP = Stamp(instance="i", namespace="team-a", vmclone="dev", vmclone_uid="u", ordinal=1, incarnation=ME)
POINT = FrozenPointStatus(id="p1", source_id="s", recorded_time="t", frozen_time="t", completion_time="t")
INTENT = IntentStatus(op="Clone", token="t1", frozen_point="p1")
OFF = ObservedClone(
    stamp=STAMP,
    token="t1",
    external_id="x",
    vm_name="dev-4f1d00",
    complete=True,
    power=Power.OFF,
    connected=False,
    agent=False,
)
ON = replace(OFF, power=Power.ON)
AGENT = replace(ON, agent=True)
UP = replace(AGENT, connected=True)
STARTING = GuestProbe(system_state="starting", cloud_init_done=False)
HELD_UP = replace(STARTING, network_waits=("systemd-networkd-wait-online.service",))
BOOTED = GuestProbe(system_state="running", cloud_init_done=True)
RESETTING = replace(BOOTED, identity_token=ME, identity_state=IdentityState.RUNNING)
OTHERS_RESET = replace(BOOTED, identity_token="another", identity_state=IdentityState.DONE)
FAILED = replace(RESETTING, identity_state=IdentityState.FAILED, identity_error="disk full")
RESET = replace(RESETTING, identity_state=IdentityState.DONE)
GUEST = GuestStatus(hostname="dev-4f1d00", machine_id_hash="h", ssh_host_keys=("ssh-ed25519 A",))
KNOWN = GUEST.model_copy(update={"addresses": ("10.0.0.7",)})
BLOCKED = Blocker(reason="SourceNotGranted", message="not granted")

NEW = Situation(incarnation=ME)
RESERVED = replace(NEW, intent=INTENT)
FROZEN = replace(RESERVED, frozen=POINT)
MADE = replace(FROZEN, clone=OFF)
CLONED = replace(MADE, provisioned=True)
BOOTING = replace(CLONED, clone=AGENT, probe=STARTING)
SILENT = replace(CLONED, clone=ON, boot_overdue=True)
IDENTIFIED = replace(CLONED, clone=AGENT, guest=GUEST)
READY = replace(CLONED, clone=UP, guest=KNOWN)

TABLE = {
    "a new replica waits for the frozen point, and writes no intent before it can act on it": (
        NEW,
        Do.NOTHING,
        Step.FREEZE,
    ),
    "a reserved replica waits for the frozen point": (RESERVED, Do.NOTHING, Step.FREEZE),
    "a replica records its names before anything is made": (replace(FROZEN, intent=None), Do.RESERVE, Step.CLONE),
    "a replica that has no slot yet writes no intent": (
        replace(FROZEN, intent=None, turn=False),
        Do.NOTHING,
        Step.CLONE,
    ),
    "a replica waits while others go first": (replace(FROZEN, turn=False), Do.NOTHING, Step.CLONE),
    "an intent without this frozen point is recorded anew": (
        replace(FROZEN, intent=INTENT.model_copy(update={"frozen_point": ""})),
        Do.RESERVE,
        Step.CLONE,
    ),
    "a recorded intent is carried out": (FROZEN, Do.START_CLONE, Step.CLONE),
    "a clone whose disks are still made is waited for": (
        replace(MADE, clone=replace(OFF, complete=False)),
        Do.NOTHING,
        Step.CLONE,
    ),
    "a complete clone is recorded, also when the reply was lost": (MADE, Do.RECORD_CLONE, Step.BOOT),
    "a recorded clone is switched on": (CLONED, Do.POWER_ON, Step.BOOT),
    "a clone without an agent is waited for": (replace(CLONED, clone=ON), Do.NOTHING, Step.BOOT),
    "a boot with start jobs left is waited for": (BOOTING, Do.NOTHING, Step.BOOT),
    "a boot that waits for a network is told not to": (
        replace(BOOTING, probe=HELD_UP),
        Do.RELEASE_NETWORK_WAIT,
        Step.BOOT,
    ),
    "a boot that takes too long needs a person": (replace(BOOTING, boot_overdue=True), Do.NOTHING, Step.BOOT),
    "a boot that failed needs a person": (replace(SILENT, console="(initramfs) "), Do.NOTHING, Step.BOOT),
    "a guest that answers late is not held up by what its console said": (
        replace(SILENT, console="(initramfs) ", clone=AGENT, probe=BOOTED),
        Do.RESET_IDENTITY,
        Step.IDENTITY,
    ),
    "a booted guest gets its identity": (replace(BOOTING, probe=BOOTED), Do.RESET_IDENTITY, Step.IDENTITY),
    "another incarnation's reset counts for nothing": (
        replace(BOOTING, probe=OTHERS_RESET),
        Do.RESET_IDENTITY,
        Step.IDENTITY,
    ),
    "a running reset is waited for": (replace(BOOTING, probe=RESETTING), Do.NOTHING, Step.IDENTITY),
    "a failed reset is tried again": (replace(BOOTING, probe=FAILED), Do.RESET_IDENTITY, Step.IDENTITY),
    "an identity like another VM's needs a person": (
        replace(BOOTING, probe=RESET, problems=("same",), problem_reason="DuplicateMachineID"),
        Do.NOTHING,
        Step.IDENTITY,
    ),
    "a proven identity is recorded before the links go up": (
        replace(BOOTING, probe=RESET),
        Do.RECORD_IDENTITY,
        Step.VERIFY,
    ),
    "a recorded identity lets the links go up": (IDENTIFIED, Do.CONNECT, Step.VERIFY),
    "a connected clone without address is waited for": (replace(IDENTIFIED, clone=UP), Do.NOTHING, Step.VERIFY),
    "a first address makes it ready": (
        replace(IDENTIFIED, clone=UP, addresses=("10.0.0.7",)),
        Do.RECORD_READY,
        Step.READY,
    ),
    "an address held by a sibling needs a person": (
        replace(IDENTIFIED, clone=UP, addresses=("10.0.0.7",), address_conflict="dev-2"),
        Do.NOTHING,
        Step.VERIFY,
    ),
    "a settled replica is left alone": (READY, Do.NOTHING, Step.READY),
    "a ready clone that was switched off is switched on": (
        replace(READY, clone=replace(UP, power=Power.OFF)),
        Do.POWER_ON,
        Step.BOOT,
    ),
    "a ready clone whose links were cut is connected": (replace(READY, clone=AGENT), Do.CONNECT, Step.VERIFY),
    "a complete clone that is gone is reported": (replace(READY, clone=None), Do.REPORT_MISSING, Step.CLONE),
    "a clone never recorded as complete is simply made": (FROZEN, Do.START_CLONE, Step.CLONE),
    "without consent nothing is begun": (replace(FROZEN, blocker=BLOCKED), Do.NOTHING, Step.RESERVE),
    "revoked consent leaves a ready clone alone": (replace(READY, blocker=BLOCKED), Do.NOTHING, Step.READY),
    "paused, nothing is begun": (replace(FROZEN, paused=True), Do.NOTHING, Step.CLONE),
    "paused, nothing is switched on": (replace(CLONED, paused=True), Do.NOTHING, Step.BOOT),
    "paused, a settled replica stays ready": (replace(READY, paused=True), Do.NOTHING, Step.READY),
}


@pytest.mark.parametrize(("situation", "do", "step"), TABLE.values(), ids=TABLE.keys())
def test_the_next_step_follows_from_what_is_there(situation: Situation, do: Do, step: Step) -> None:
    decision = decide(situation)
    assert (decision.do, decision.step) == (do, step)


STALLED = {
    "no consent": (replace(FROZEN, blocker=BLOCKED), BLOCKED.reason, BLOCKED.message),
    "paused with work pending": (replace(FROZEN, paused=True), "Paused", "spec.paused"),
    "a boot that takes too long, nothing known": (SILENT, "GuestAgentMissing", "virsh console dev-4f1d00"),
    "a boot that takes too long, at a login": (
        replace(SILENT, console="dev login: "),
        "GuestAgentMissing",
        "install and enable qemu-guest-agent",
    ),
    "a boot that the guest gave up": (
        replace(SILENT, console="Loading\n(initramfs) "),
        "BootFailed",
        "ends with: Loading | (initramfs)",
    ),
    "a boot whose start jobs do not end": (replace(BOOTING, boot_overdue=True), "BootFailed", "systemd says starting"),
    "an identity that is not unique": (
        replace(BOOTING, probe=RESET, problems=("the host key is the source's",), problem_reason="DuplicateHostKey"),
        "DuplicateHostKey",
        "the host key is the source's",
    ),
}


@pytest.mark.parametrize(("situation", "reason", "words"), STALLED.values(), ids=STALLED.keys())
def test_what_needs_a_person_is_stalled_and_says_why(situation: Situation, reason: str, words: str) -> None:
    decision = decide(situation)
    assert decision.progress is Progress.STALLED
    assert decision.reason == reason
    assert words in decision.message


def test_a_waiting_replica_always_looks_again() -> None:
    """An event may be lost: whatever is not settled has a timer."""
    for situation, _, _ in TABLE.values():
        decision: Decision = decide(situation)
        assert decision.progress is Progress.SETTLED or decision.again_seconds is not None


def test_the_links_never_go_up_before_the_identity_is_recorded() -> None:
    for situation, _, _ in TABLE.values():
        assert decide(replace(situation, guest=None)).do is not Do.CONNECT


def test_at_every_step_the_percentage_grows() -> None:
    assert [step.percent for step in Step] == sorted({step.percent for step in Step})


DELIVERED = replace(READY, delivered=True)
REACHED = replace(IDENTIFIED, clone=UP)
RUNNING_COPY = HomeSituation(
    wanted=True, operation=OperationStatus(kind=RUNS, token="1"), job=CopyJobView(state=JobState.RUNNING)
)
ENDED_COPY = replace(RUNNING_COPY, job=CopyJobView(state=JobState.ENDED, reason="Copied"))
FAILED_COPY = HomeSituation(
    wanted=True, operation=OperationStatus(kind=RETRY, token="1"), due=False, wait_seconds=300, last_reason="TooLarge"
)
TOLD = KeysSituation(change=Change.WAIT, again_seconds=60)
UNTOLD = replace(TOLD, pending="the guest agent does not answer")

KEYS: dict[str, tuple[Situation, KeysSituation, Do, float | None]] = {
    "before they are in a reset": (
        replace(BOOTING, probe=BOOTED),
        KeysSituation(change=Change.RECORD),
        Do.RECORD_KEYS,
        0,
    ),
    "before they are in a task": (
        replace(BOOTING, probe=BOOTED, task=TaskView()),
        KeysSituation(change=Change.RECORD),
        Do.RECORD_KEYS,
        0,
    ),
    "before they are in the seed of a clean clone": (
        Situation(incarnation=ME, mode=Mode.CLEAN, intent=INTENT, frozen=POINT),
        KeysSituation(change=Change.RECORD),
        Do.RECORD_KEYS,
        0,
    ),
    "of a clone of a disk, whose seed has none": (
        Situation(incarnation=ME, intent=INTENT, frozen=POINT),
        KeysSituation(change=Change.RECORD),
        Do.START_CLONE,
        decide(Situation(incarnation=ME, intent=INTENT, frozen=POINT)).again_seconds,
    ),
    "of a clone that boots": (BOOTING, KeysSituation(change=Change.RECORD), Do.NOTHING, 5),
    "of a clone in use": (DELIVERED, KeysSituation(change=Change.RECORD), Do.RECORD_KEYS, 0),
    "that are in the ledger": (DELIVERED, KeysSituation(change=Change.REPLACE), Do.REPLACE_KEYS, 0),
    "while its home copy runs": (
        replace(REACHED, home=RUNNING_COPY),
        KeysSituation(change=Change.REPLACE),
        Do.REPLACE_KEYS,
        0,
    ),
    "while its home copy waits for the next attempt": (
        replace(REACHED, home=FAILED_COPY),
        KeysSituation(change=Change.RECORD),
        Do.RECORD_KEYS,
        0,
    ),
    "while its home copy stands in line": (
        replace(REACHED, home=HomeSituation(wanted=True, position=3)),
        KeysSituation(change=Change.REPLACE),
        Do.REPLACE_KEYS,
        0,
    ),
    "before its home copy begins": (
        replace(REACHED, home=HomeSituation(wanted=True)),
        KeysSituation(change=Change.REPLACE),
        Do.REPLACE_KEYS,
        0,
    ),
    "after the end of a home copy is written down": (
        replace(REACHED, home=ENDED_COPY),
        KeysSituation(change=Change.REPLACE),
        Do.RECORD_COPY,
        0,
    ),
    "while it has no address yet": (REACHED, KeysSituation(change=Change.REPLACE), Do.REPLACE_KEYS, 0),
    "while a sibling has its address": (
        replace(DELIVERED, addresses=("10.0.0.7",), address_conflict="dev-2"),
        KeysSituation(change=Change.REPLACE),
        Do.REPLACE_KEYS,
        0,
    ),
    "after its first address is written down": (
        replace(REACHED, addresses=("10.0.0.7",)),
        KeysSituation(change=Change.REPLACE),
        Do.RECORD_READY,
        0,
    ),
    "once its links are up": (IDENTIFIED, KeysSituation(change=Change.REPLACE), Do.CONNECT, 0),
    "that wait, which is said": (DELIVERED, UNTOLD, Do.TELL_KEYS, 60),
    "that wait, after a new address is written down": (
        replace(DELIVERED, addresses=("10.0.0.8",)),
        UNTOLD,
        Do.RECORD_READY,
        0,
    ),
    "that wait, as was said": (DELIVERED, TOLD, Do.NOTHING, 60),
    "that wait, as was said, while a new address is written down": (
        replace(DELIVERED, addresses=("10.0.0.8",)),
        TOLD,
        Do.RECORD_READY,
        0,
    ),
    "that wait longer than a copy is looked at": (replace(REACHED, home=RUNNING_COPY), TOLD, Do.NOTHING, 5),
    "that wait while it is paused": (replace(REACHED, paused=True), UNTOLD, Do.TELL_KEYS, 60),
    "that wait no more": (DELIVERED, KeysSituation(change=Change.TAKEN_BACK), Do.TELL_KEYS, None),
    "that are as they are wanted": (DELIVERED, KeysSituation(), Do.NOTHING, None),
}


@pytest.mark.parametrize(("situation", "keys", "do", "again"), KEYS.values(), ids=KEYS.keys())
def test_what_is_done_about_the_keys_of_a_clone(
    situation: Situation, keys: KeysSituation, do: Do, again: float | None
) -> None:
    before = decide(situation)
    after = with_keys(replace(situation, keys=keys), before)
    assert (after.do, after.again_seconds) == (do, again)
    assert replace(after, do=before.do, again_seconds=before.again_seconds) == before, "its words stay"
