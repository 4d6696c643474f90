"""Every decision about one replica, as a table: the situation in a sentence, the step that follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmclone_operator.api.replica import GuestStatus, IntentStatus
from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain.backend import ObservedClone, Power, Stamp
from vmclone_operator.domain.conditions import Progress
from vmclone_operator.domain.guest import GuestProbe, IdentityState
from vmclone_operator.domain.plan import Situation, decide
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
