"""Clones in the double: the point in time, temporary configs, what a failed one leaves, what storages can do."""

from __future__ import annotations

import pytest
from tests.doubles.pve.guests import Disk
from tests.unit.doubles.pve.clients import NODE, QEMU, Client, cluster, run, source_volume

SLOW = {"newid": 101, "full": 1, "bwlimit": 10240}
"""A clone of 1 GiB that takes 102 seconds."""


def test_the_point_in_time_of_a_running_source_is_the_end_of_the_mirror() -> None:
    client = cluster()
    run(client)
    client.task("POST", f"{QEMU}/100/clone", **SLOW)
    client.pass_time(50)
    client.guests.disks[source_volume("dir")].files["/late"] = b"written while it was copied"
    client.pass_time(60)
    copied = client.guests.disks["local:101/vm-101-disk-0.qcow2"]
    assert copied.files["/late"] == b"written while it was copied"


def test_a_new_config_is_bare_until_its_first_disk_is_there() -> None:
    client = cluster()
    client.task("POST", f"{QEMU}/100/clone", **SLOW, description="ours")
    client.pass_time(50)
    config = client.get(f"{QEMU}/101/config")
    assert {key: config[key] for key in config if key != "digest"} == {"lock": "clone"}
    client.pass_time(60)
    assert client.get(f"{QEMU}/101/config")["description"] == "ours"
    assert "lock" not in client.get(f"{QEMU}/101/config")


def test_a_vm_is_unknown_in_the_resources_until_the_next_status_round() -> None:
    client = cluster()
    assert client.ended("POST", f"{QEMU}/100/clone", seconds=3, newid=101) == "OK"
    [row] = [row for row in client.get("/cluster/resources", type="vm") if row["vmid"] == 101]
    assert (row["status"], row.get("name")) == ("unknown", None)
    client.pass_time(10)
    [row] = [row for row in client.get("/cluster/resources", type="vm") if row["vmid"] == 101]
    assert (row["status"], row["name"]) == ("stopped", "Copy-of-VM-golden")


def test_the_same_new_id_goes_to_one_of_two_at_once() -> None:
    client = cluster()
    first = client.task("POST", f"{QEMU}/100/clone", newid=101)
    client.pass_time(0.1)
    assert client.refused("POST", f"{QEMU}/100/clone", newid=101) == (
        "500 unable to create VM 101: config file already exists"
    )
    client.pass_time(60)
    assert client.get(f"{NODE}/tasks/{first}/status")["exitstatus"] == "OK"


def test_two_calls_for_one_id_in_the_same_moment_both_get_a_task_and_one_of_them_fails() -> None:
    client = cluster()
    upids = [client.task("POST", f"{QEMU}/100/clone", newid=101, name=name) for name in ("one", "two")]
    client.pass_time(60)
    ends = [client.get(f"{NODE}/tasks/{upid}/status")["exitstatus"] for upid in upids]
    assert ends[0] == "OK"
    assert ends[1] in {
        "unable to create VM 101: config file already exists",
        "can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout",
    }
    assert client.get(f"{QEMU}/101/config")["name"] == "one"


def test_a_clone_without_space_for_it_frees_what_it_made_and_takes_its_config_back() -> None:
    client = cluster()
    client.world.storages.known["local"].preallocation = "full"
    client.world.storages.known["local"].total = 1
    ended = client.ended("POST", f"{QEMU}/100/clone", newid=101, format="raw")
    assert ended.startswith("clone failed: unable to create image: qemu-img: ")
    assert (client.world.vms.get(101), client.world.storages.owned_by(101)) == (None, [])


def test_a_stopped_clone_leaves_nothing() -> None:
    client = cluster()
    upid = client.task("POST", f"{QEMU}/100/clone", **SLOW)
    client.pass_time(30)
    assert client.call("DELETE", f"{NODE}/tasks/{upid}").status == 200
    assert client.get(f"{NODE}/tasks/{upid}/status")["exitstatus"].endswith("failed: interrupted by signal")
    assert (client.world.vms.get(101), client.world.storages.owned_by(101)) == (None, [])


def _killed(client: Client) -> None:
    upid = client.task("POST", f"{QEMU}/100/clone", **SLOW)
    client.pass_time(30)
    client.world.kill_task(upid)
    client.pass_time(300)


def test_a_killed_clone_leaves_a_locked_config_and_its_volume_and_no_file_lock() -> None:
    client = cluster()
    _killed(client)
    assert client.get(f"{QEMU}/101/config")["lock"] == "clone"
    assert [volume.id for volume in client.world.storages.owned_by(101)] == ["local:101/vm-101-disk-0.qcow2"]
    assert client.ended("DELETE", f"{QEMU}/101") == "VM is locked (clone)"
    assert client.ended("POST", f"{QEMU}/100/clone", newid=102) == "OK"


def test_a_token_may_not_break_the_lock_that_a_killed_clone_left() -> None:
    client = cluster()
    _killed(client)
    answer = client.call("DELETE", f"{QEMU}/101", skiplock=1)
    assert (answer.status, answer.body["errors"]) == (400, {"skiplock": "Only root may use this option."})


def test_a_failed_freeze_is_a_line_in_the_log_of_a_clone_that_succeeds() -> None:
    client = cluster()
    run(client)
    client.world.freeze_fails = True
    upid = client.task("POST", f"{QEMU}/100/clone", newid=101, full=1)
    client.pass_time(60)
    log = client.log(upid)
    assert "VM 100 qga command 'guest-fsfreeze-freeze' failed - got timeout" in log
    assert log[-1] == "TASK OK"


def test_a_source_without_an_agent_is_paused_for_the_point_in_time() -> None:
    client = cluster()
    client.guests.disks[source_volume("dir")] = Disk(agent=False)
    run(client)
    upid = client.task("POST", f"{QEMU}/100/clone", newid=101, full=1)
    client.pass_time(60)
    assert {"suspend vm", "resume vm"} <= set(client.log(upid))


LINKED = {
    "dir": "local:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2",
    "nfs": "local:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2",
    "btrfs": "local:101/vm-101-disk-0.raw",
    "lvmthin": "local:vm-101-disk-0",
    "zfspool": "local:base-100-disk-0/vm-101-disk-0",
    "rbd": "local:base-100-disk-0/vm-101-disk-0",
}


@pytest.mark.parametrize("kind", LINKED)
def test_a_template_gives_linked_clones_on(kind: str) -> None:
    client = cluster(kind)
    assert client.ended("POST", f"{QEMU}/100/template") == "OK"
    assert client.ended("POST", f"{QEMU}/100/clone", newid=101) == "OK"
    assert client.get(f"{QEMU}/101/config")["scsi0"].split(",")[0] == LINKED[kind]


def test_thick_lvm_has_no_bases_and_no_linked_clones_but_full_ones() -> None:
    client = cluster("lvm")
    assert client.ended("POST", f"{QEMU}/100/template") == "OK"
    assert client.get(f"{QEMU}/100/config")["scsi0"].startswith("local:vm-100-disk-0")
    assert client.refused("POST", f"{QEMU}/100/clone", newid=101) == (
        "500 Linked clone feature is not supported for 'local:vm-100-disk-0' (scsi0)"
    )
    assert client.ended("POST", f"{QEMU}/100/clone", newid=101, full=1) == "OK"


BASE_IN_USE = "base volume 'local:100/base-100-disk-0.qcow2' is still in use by linked cloned"


@pytest.mark.parametrize(("kind", "ended"), [("dir", BASE_IN_USE), ("btrfs", "OK"), ("lvmthin", "OK")])
def test_a_template_with_children_can_go_only_where_they_hold_their_own_data(kind: str, ended: str) -> None:
    client = cluster(kind)
    client.ended("POST", f"{QEMU}/100/template")
    client.ended("POST", f"{QEMU}/100/clone", newid=101)
    assert client.ended("DELETE", f"{QEMU}/100") == ended


def test_a_clone_of_a_snapshot_is_as_the_vm_was_and_takes_the_snapshots_description() -> None:
    client = cluster()
    assert client.ended("POST", f"{QEMU}/100/snapshot", snapname="before", description="of then") == "OK"
    client.call("PUT", f"{QEMU}/100/config", memory=512, description="of now")
    assert client.refused("POST", f"{QEMU}/100/clone", newid=101, snapname="before", full=0) == (
        "500 Linked clone feature is not supported for a snapshot of 'local:100/vm-100-disk-0.qcow2' (scsi0)"
    )
    assert client.ended("POST", f"{QEMU}/100/clone", newid=101, snapname="before", full=1) == "OK"
    config = client.get(f"{QEMU}/101/config")
    assert (config["memory"], config["description"], config.get("parent")) == ("256", "of then", None)
    refused = client.refused("POST", f"{QEMU}/100/template")
    assert refused == "500 unable to create template, because VM contains snapshots"


def test_six_linked_clones_of_one_template_are_made_at_once() -> None:
    client = cluster()
    client.ended("POST", f"{QEMU}/100/template")
    upids = [client.task("POST", f"{QEMU}/100/clone", newid=newid) for newid in range(101, 107)]
    client.pass_time(10)
    assert {client.get(f"{NODE}/tasks/{upid}/status")["exitstatus"] for upid in upids} == {"OK"}


def test_a_running_vm_with_tpm_state_is_not_cloned() -> None:
    client = cluster()
    assert client.call("PUT", f"{QEMU}/100/config", tpmstate0="local:1,version=v2.0").status == 200
    run(client)
    refused = client.refused("POST", f"{QEMU}/100/clone", newid=101, full=1)
    assert refused == "500 cannot clone TPM state while VM is running"
