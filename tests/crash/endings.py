"""What must be there once a random life has settled, and what must not be there once it is over."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tests.crash.random_story import End, Story, What
from tests.support.simulation import Simulation

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.labels import INCARNATION_LABEL
from vmclone_operator.engine.objects.lineage import incarnation_of
from vmclone_operator.homecopy.outcome import Ended
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake.state import Machine

_MADE_FOR_CLONES = (Kind.JOB, Kind.POD, Kind.SECRET)
_OUR_MACS = "02:"


def check_settled(sim: Simulation, story: Story, *, wanted: int) -> None:
    """Each replica has its one VM, up, itself and closed; nothing lies about; the source is as it was."""
    machines = [m for m in sim.world.state.machines.values() if m.stamp is not None and not m.foreign]
    uids = {d["metadata"]["uid"] for k, d in sim.cluster.documents.items() if k.kind is Kind.REPLICA}
    assert {m.stamp.incarnation for m in machines if m.stamp} == uids, "VMs and replicas do not match"
    assert len(machines) == wanted, f"{len(machines)} VMs, {wanted} wanted"
    for machine in machines:
        assert _is_usable(machine), f"{machine.name} is not as it should be"
        assert machine.power is Power.ON, f"{machine.name} is off"
        # A guest that is silent just then keeps the key; nobody has the private half any more.
        whole = [run.how for run in sim.kubelet.runs if machine.stamp and run.incarnation == machine.stamp.incarnation]
        assert not story.clean or Ended.COPIED in whole, f"{machine.name} is ready without its home"
        asked = not story.had(What.SWITCH_OFF) and not story.rate
        assert not (asked and machine.guest.copy_keys), f"{machine.name} still lets a copy in"
    nobodys = [line for line in sim.world.inventory().files if line.startswith("nobody")]
    assert not nobodys, f"leaked: {nobodys}"
    assert not left_over(sim, story), f"left over: {left_over(sim, story)}"
    assert not any(sim.engine.orphans.values()), f"orphans: {sim.engine.orphans}"
    if not story.had(What.SOURCE):
        source = sim.world.find("golden-dev")
        assert (source.power is Power.ON) is story.source_on, f"the source is {source.power}"
    if not story.had(What.WIPE_STATUS):
        assert not sim.world.effects.finished_copied_again, "a finished disk was copied again"


def check_nothing_left(sim: Simulation, story: Story, *, foreign: Sequence[str], delivered: Collection[str]) -> None:
    """Nothing of ours is left anywhere, save what was to stay, and everybody else's things are as they were."""
    replicas = [str(key) for key in sim.cluster.documents if key.kind is Kind.REPLICA]
    assert not replicas, f"replicas left: {replicas}"
    assert not left_over(sim, story), f"left over: {left_over(sim, story)}"
    inventory = sim.world.inventory()
    assert not inventory.clones, f"VMs left: {inventory.clones}"
    assert not any(sim.engine.orphans.values()), f"orphans: {sim.engine.orphans}"
    if story.leaves_vms:
        _check_orphans(sim, story, delivered)
        return
    assert (inventory.files, inventory.frozen_points) == ((), ()), f"files left: {inventory}"
    changed = set(inventory.foreign) ^ set(foreign)
    assert story.had(What.SOURCE) or not changed, f"changed: {changed}"


def left_over(sim: Simulation, story: Story) -> list[str]:
    """Return what is left of home copies and seeds in the operator's namespace.

    A ledger that is wiped between the Secret of a copy and its Job leaves that Secret: nothing else knows its name.
    It stays while its replica lives, and is told once that is gone. See docs/limits.md.
    """
    found = [key for key in sim.cluster.documents if key.kind in _MADE_FOR_CLONES and key.name != "home-key"]
    excused = _excused(sim) if story.had(What.WIPE_STATUS) else set()
    return [str(key) for key in found if key.kind is not Kind.SECRET or key.name not in excused]


def _excused(sim: Simulation) -> set[str]:
    """Return the names of the home copies' Secrets that are told or whose replica lives."""
    documents = sim.cluster.documents.items()
    alive = {incarnation_of(document) for key, document in documents if key.kind is Kind.REPLICA}
    found = {key.name: document for key, document in documents if key.name.startswith("vmclone-home-")}
    theirs = {name for name, d in found.items() if d["metadata"].get("labels", {}).get(INCARNATION_LABEL) in alive}
    return theirs | (found.keys() & set(sim.engine.leftover_secrets))


def _check_orphans(sim: Simulation, story: Story, delivered: Collection[str]) -> None:
    """What stays is whole, in use, and nobody's; below it lies what its disks stand on, and nothing else."""
    state = sim.world.state
    there = {m.name: m for m in state.machines.values() if m.macs and m.macs[0].startswith(_OUR_MACS)}
    if story.end in {End.ORPHAN, End.EARLY_ORPHAN}:
        gone = set(delivered) - there.keys()
        assert not gone, f"was to stay: {gone}"
    for machine in there.values():
        assert machine.stamp is None, f"{machine.name} stays and is still ours"
        fit = _is_usable(machine) or story.had(What.WIPE_STATUS)  # nobody knows whether it was delivered
        assert fit, f"{machine.name} stays and is not fit to"
        assert all(name in state.volumes for name in machine.volumes), f"{machine.name} lost a disk"
    below = {volume.backing for volume in state.volumes.values() if volume.backing}
    known = {name for image in state.images.values() for name in image.volumes}
    needless = [image.token for image in state.images.values() if not below & set(image.volumes)]
    assert not needless, f"frozen points stay below nothing: {needless}"
    leaked = [v.name for v in state.volumes.values() if v.group and v.name not in known]
    assert not leaked, f"leaked: {leaked}"


def _is_usable(machine: Machine) -> bool:
    return machine.connected and machine.guest.machine_id == machine.machine_id
