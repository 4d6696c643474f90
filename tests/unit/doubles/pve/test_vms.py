"""Configs, tasks, volumes and deletes in the double: what happens late, halfway, or only with a warning."""

from __future__ import annotations

import pytest
from tests.doubles.pve.vm import VM
from tests.unit.doubles.pve.clients import NODE, QEMU, Client, cluster, run

CONFIG = f"{QEMU}/100/config"


def test_a_change_with_the_digest_of_before_is_refused() -> None:
    client = cluster()
    digest = client.get(CONFIG)["digest"]
    assert client.call("PUT", CONFIG, description="mine", digest=digest).status == 200
    refused = client.refused("PUT", CONFIG, description="late", digest=digest)
    assert refused == "500 checksum mismatch (file change by other user?)"


def test_a_failing_change_is_half_done() -> None:
    client = cluster()
    client.world.vms[100].config |= {"protection": 1, "tags": "a"}
    refused = client.refused("PUT", CONFIG, delete="tags,scsi0")
    assert refused == "500 can't remove drive 'scsi0' - protection mode enabled"
    assert {"tags", "scsi0"} & set(client.get(CONFIG)) == {"scsi0"}


def test_memory_waits_for_the_vm_to_be_off_and_tags_do_not() -> None:
    client = cluster()
    run(client)
    client.call("PUT", CONFIG, memory=512, tags="b,A")
    assert (client.get(CONFIG)["memory"], client.get(CONFIG, current=1)["memory"]) == ("512", "256")
    assert client.get(CONFIG, current=1)["tags"] == "a;b"
    assert client.ended("POST", f"{QEMU}/100/status/stop") == "OK"
    assert client.get(CONFIG, current=1)["memory"] == "512"


def test_a_removed_disk_stays_as_unused_until_it_is_deleted_too() -> None:
    client = cluster()
    client.call("PUT", CONFIG, delete="scsi0")
    assert client.get(CONFIG)["unused0"] == "local:100/vm-100-disk-0.qcow2"
    client.call("PUT", CONFIG, delete="unused0")
    assert not client.world.storages.owned_by(100)


def test_an_imported_disk_belongs_to_the_vm_and_goes_with_it() -> None:
    client = cluster()
    seed = client.world.storages.volumes["local:100/vm-100-disk-0.qcow2"]
    assert client.call("PUT", CONFIG, scsi1=f"local:0,import-from={seed.id}").status == 200
    assert client.get(CONFIG)["scsi1"] == "local:100/vm-100-disk-1.raw,size=1G"
    assert client.ended("DELETE", f"{QEMU}/100") == "OK"
    assert not client.world.storages.volumes


def test_a_disk_that_can_not_be_removed_is_a_warning_and_the_vm_is_gone() -> None:
    client = cluster()
    client.world.stuck_volumes.add("local:100/vm-100-disk-0.qcow2")
    assert client.ended("DELETE", f"{QEMU}/100", purge=1) == "WARNINGS: 1"
    assert 100 not in client.world.vms
    [left] = client.get(f"{NODE}/storage/local/content", vmid=100)
    assert left["volid"] == "local:100/vm-100-disk-0.qcow2"


def test_a_new_vm_inherits_what_an_old_one_of_its_id_left_behind() -> None:
    client = cluster()
    client.world.stuck_volumes.add("local:100/vm-100-disk-0.qcow2")
    client.ended("DELETE", f"{QEMU}/100")
    assert client.ended("POST", QEMU, vmid=100, name="reborn", scsi0="local:1,format=qcow2") == "OK"
    assert client.get(CONFIG)["scsi0"].startswith("local:100/vm-100-disk-1.qcow2")
    client.world.stuck_volumes.clear()
    assert client.ended("DELETE", f"{QEMU}/100", destroy_unreferenced_disks=1) == "OK"
    assert not client.world.storages.owned_by(100)


def test_a_start_may_end_with_warnings_and_is_a_start_all_the_same() -> None:
    client = cluster()
    client.world.vms[100].config["bios"] = "ovmf"
    assert client.ended("POST", f"{QEMU}/100/status/start") == "WARNINGS: 1"
    assert client.get(f"{QEMU}/100/status/current")["status"] == "running"
    [row] = client.get(f"{NODE}/tasks", statusfilter="warning")
    assert row["status"] == "WARNINGS: 1"


def protected(vm: VM) -> None:
    vm.config["protection"] = 1


def test_a_purge_takes_a_vm_out_of_ha_and_replication_too() -> None:
    client = cluster()
    client.world.vms[100].managed = True
    client.world.replicated[100] = "pve2"
    assert [row["sid"] for row in client.get("/cluster/ha/resources")] == ["vm:100"]
    assert [row["guest"] for row in client.get("/cluster/replication")] == [100]
    assert client.ended("DELETE", f"{QEMU}/100", purge=1) == "OK"
    assert client.get("/cluster/ha/resources") == client.get("/cluster/replication") == []


def test_a_clone_gets_the_firewall_of_its_source_and_a_delete_takes_it_away() -> None:
    client = cluster()
    client.world.firewalls[100] = {"enable": 1}
    assert client.ended("POST", f"{QEMU}/100/clone", newid=101) == "OK"
    assert client.get(f"{QEMU}/101/firewall/options") == {"enable": 1}
    assert client.ended("DELETE", f"{QEMU}/101") == "OK"
    assert set(client.world.firewalls) == {100}


def managed(vm: VM) -> None:
    vm.managed = True


def running(vm: VM) -> None:
    vm.running = True


DELETES = {
    "a protected VM": (protected, "500 can't remove VM 100 - protection mode enabled"),
    "a VM under HA": (managed, "500 unable to remove VM 100 - used in HA resources and purge parameter not set."),
    "a running VM": (running, "500 VM 100 is running - destroy failed"),
}


@pytest.mark.parametrize("case", DELETES)
def test_a_delete_is_refused_at_once_for(case: str) -> None:
    change, text = DELETES[case]
    client = cluster()
    change(client.world.vms[100])
    assert client.refused("DELETE", f"{QEMU}/100") == text


def test_an_upload_onto_a_full_storage_fails_in_its_task_and_leaves_nothing() -> None:
    client = cluster()
    client.world.storages.known["local"].total = 1000
    upid = client.task("POST", f"{NODE}/storage/local/upload", upload=("big.iso", bytes(2000)), content="iso")
    client.pass_time(5)
    where = "/var/lib/vz/template/iso/big.iso"
    ended = client.get(f"{NODE}/tasks/{upid}/status")["exitstatus"]
    assert ended == f"import failed: cp: error writing '{where}': No space left on device"
    assert not [volume for volume in client.world.storages.volumes.values() if volume.content == "iso"]


def test_nextid_reserves_nothing() -> None:
    client = cluster()
    assert [client.get("/cluster/nextid") for _ in range(3)] == ["101"] * 3


def test_a_jump_of_the_clock_leaves_what_small_steps_leave() -> None:
    def after(*steps: float) -> Client:
        client = cluster()
        client.task("POST", f"{QEMU}/100/clone", newid=101, full=1, bwlimit=10240)
        for seconds in steps:
            client.pass_time(seconds)
        return client

    jumped, walked = after(600), after(*[0.5] * 1200)
    assert jumped.world.vms[101].config == walked.world.vms[101].config
    ends = [[task.ended for task in client.world.tasks.values()] for client in (jumped, walked)]
    assert ends[0] == ends[1]


def test_a_killed_task_says_that_nobody_knows_how_it_ended() -> None:
    client = cluster()
    upid = client.task("POST", f"{QEMU}/100/clone", newid=101, full=1, bwlimit=10240)
    client.pass_time(5)
    client.world.kill_task(upid)
    assert client.get(f"{NODE}/tasks/{upid}/status")["exitstatus"] == "unexpected status"
    assert client.get(f"{NODE}/tasks", statusfilter="error")[0]["upid"] == upid
