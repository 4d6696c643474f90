"""Killed at every step, robbed by hand, in the way of a stranger: the replica comes out right or says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.booting_again import after, differences, power_cycle, reboot, stays_ready
from tests.e2e.cluster import (
    VMCLONES,
    Document,
    apply,
    condition,
    delete,
    find,
    get,
    replicas_of,
    state_of,
    wait_ready,
    wait_until,
)
from tests.e2e.figures import tell
from tests.e2e.killing import kill_at_every_step
from tests.e2e.load import Gaps, WriteLoad
from tests.e2e.machines import (
    Identity,
    Login,
    Starts,
    bases_of,
    disks_of,
    domains,
    domains_of,
    identity,
    login_to_clone,
    virsh,
    volumes,
    volumes_of,
)
from tests.e2e.operator_run import Operator
from tests.e2e.watching import Watch
from tests.e2e.wishes import foreign_domain, vmclone

pytestmark = pytest.mark.guest


@dataclass(frozen=True, kw_only=True)
class Life:
    """A replica's life in which the operator was killed at every turn."""

    moments: list[str]
    gaps: Gaps
    vmclone: Document
    replica: Document
    clone: Identity


@pytest.fixture(scope="module")
def struck(operator: Operator, load: WriteLoad, source: dict[str, Any]) -> Life:
    written = load.written()
    with Watch() as watch:
        apply(vmclone("struck"))
        moments = kill_at_every_step(operator, watch, "struck", source["name"])
    replica = replicas_of("struck")[0]
    return Life(
        moments=moments,
        gaps=load.gaps(written),
        vmclone=wait_ready("struck", 30),
        replica=replica,
        clone=identity(replica["status"]["intent"]["vmName"], login_to_clone(replica, source)),
    )


def test_the_operator_was_killed_at_every_step(struck: Life, operator: Operator) -> None:
    tell(f"{operator.kills} kills in one replica's life: {', '.join(struck.moments)}")
    assert {"freeze intended", "frozen", "Clone", "Boot", "Identity", "Verify", "Ready"} <= set(struck.moments)


def test_killed_at_every_step_it_is_one_vm_started_once(struck: Life, starts: Starts) -> None:
    assert {name for name in domains() if name.startswith("struck")} == {struck.clone.domain}
    assert starts.of(struck.clone.domain) == 1
    assert [name for name in starts.all() if name.startswith("struck")] == [struck.clone.domain]


def test_killed_at_every_step_the_source_never_stands_still_for_five_seconds(struck: Life) -> None:
    gaps = struck.gaps
    tell(f"write gaps on the source, killed while freezing: p99 {gaps.p99:.2f} s, longest {gaps.longest:.2f} s")
    assert gaps.longest < 5


def test_killed_at_every_step_no_volume_is_left_over(struck: Life) -> None:
    token = struck.replica["status"]["intent"]["token"]
    prefix = disks_of(struck.replica)
    assert volumes(prefix) == {f"{prefix}{token}-seed.iso", f"{prefix}{token}-vda.qcow2"}
    points = [point["id"] for point in get(VMCLONES, "struck")["status"]["frozenPoints"]]
    bases = volumes(bases_of(struck.vmclone))
    assert len(points) == len(bases) == 1
    assert points[0] in bases.pop()


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(reboot, id="rebooted from inside", marks=pytest.mark.by_hand),
        pytest.param(power_cycle, id="switched off and on"),
    ],
)
def test_after_another_boot_a_clone_is_who_its_status_says_and_nothing_of_the_source_is_back(
    struck: Life, source: dict[str, Any], starts: Starts, how: Callable[[str, Login], None]
) -> None:
    """What only a boot reads (firmware, kernel, seeds, snapshots of disks) would undo identity and scrub now."""
    login, booted = login_to_clone(struck.replica, source), starts.of(struck.clone.domain)
    before = identity(struck.clone.domain, login)
    now = after(how, before, login)
    assert now.boot_id != before.boot_id
    assert now.unique_parts() == before.unique_parts() == struck.clone.unique_parts()
    assert differences(stays_ready(struck.replica), now, login) == []
    assert starts.of(struck.clone.domain) > booted


def test_a_clone_deleted_by_hand_comes_back_as_another_machine(struck: Life, source: dict[str, Any]) -> None:
    virsh("undefine", struck.clone.domain)  # first: what is only switched off, the operator switches on again
    virsh("destroy", struck.clone.domain)

    def rebuilt() -> list[Document]:
        return [r for r in replicas_of("struck") if r["metadata"]["uid"] != struck.replica["metadata"]["uid"]]

    wait_until("the replica has another incarnation", rebuilt, 90)
    wait_ready("struck", 300)
    fresh = rebuilt()[0]
    clone = identity(fresh["status"]["intent"]["vmName"], login_to_clone(fresh, source))
    for part, value in struck.clone.unique_parts().items():
        assert clone.unique_parts()[part] != value, part
    assert fresh["spec"]["session"] == struck.replica["spec"]["session"]
    assert volumes(disks_of(struck.replica)) == set()


@pytest.fixture
def taken(operator: Operator, tmp_path: Path) -> Iterator[str]:
    """A replica whose VM name a stranger takes between intent and clone; yields that name."""
    with Watch() as watch:
        apply(vmclone("taken"))
        for change in watch.changes(60, "taken-1 says how its VM will be called"):
            if change["metadata"]["name"] == "taken-1" and change.get("status", {}).get("intent"):
                break
        operator.kill()
    name = str(change["status"]["intent"]["vmName"])
    document = tmp_path / "foreign.xml"
    document.write_text(foreign_domain(name))
    virsh("define", str(document))
    operator.start()
    yield name
    if name in domains("--state-shutoff"):
        virsh("undefine", name)
    delete("taken")
    wait_until("taken is gone", lambda: find(VMCLONES, "taken") is None, 90)


def test_a_foreign_vm_under_our_name_is_left_alone(taken: str) -> None:
    before = virsh("dumpxml", "--inactive", taken)

    def stalled() -> bool:
        return bool(condition(replicas_of("taken")[0], "Stalled").get("status") == "True")

    wait_until("the replica is Stalled", stalled, 60)
    replica = replicas_of("taken")[0]
    assert condition(replica, "Stalled")["reason"] == condition(replica, "Ready")["reason"] == "TargetConflict"
    assert taken in condition(replica, "Ready")["message"]
    assert virsh("dumpxml", "--inactive", taken) == before
    virsh("undefine", taken)
    wait_until("the replica goes on", lambda: state_of(replicas_of("taken")[0]) == "Boot", 120)
    assert taken in domains_of(replicas_of("taken"))


def test_what_was_struck_is_deleted_whole(struck: Life) -> None:
    replicas = replicas_of("struck")
    delete("struck")
    wait_until("struck is gone", lambda: find(VMCLONES, "struck") is None, 60)
    assert domains_of(replicas) == set()
    assert volumes_of(struck.vmclone, [struck.replica, *replicas]) == set()
