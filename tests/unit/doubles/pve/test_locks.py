"""File locks in the double: who holds up whom, for how long, and where it is said."""

from __future__ import annotations

from tests.doubles.pve.locks import Lock, storage_file
from tests.unit.doubles.pve.clients import NODE, QEMU, cluster, run

SLOW = {"full": 1, "bwlimit": 10240}
TIMEOUT = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"


def test_a_second_clone_of_a_running_source_fails_in_its_task_after_one_second() -> None:
    client = cluster()
    run(client)
    client.task("POST", f"{QEMU}/100/clone", newid=101, **SLOW)
    upid = client.task("POST", f"{QEMU}/100/clone", newid=102, **SLOW)
    client.pass_time(0.9)
    assert client.get(f"{NODE}/tasks/{upid}/status")["status"] == "running"
    client.pass_time(0.2)
    assert client.get(f"{NODE}/tasks/{upid}/status")["exitstatus"] == TIMEOUT
    assert 102 not in client.world.vms


def test_a_stopped_source_is_cloned_twice_at_once() -> None:
    client = cluster()
    upids = [client.task("POST", f"{QEMU}/100/clone", newid=newid, **SLOW) for newid in (101, 102)]
    client.pass_time(110)
    assert [client.get(f"{NODE}/tasks/{upid}/status")["exitstatus"] for upid in upids] == ["OK", "OK"]


def test_a_source_that_is_cloned_has_no_lock_in_its_config_and_yet_can_not_be_changed() -> None:
    client = cluster()
    client.task("POST", f"{QEMU}/100/clone", newid=101, **SLOW)
    client.pass_time(1)
    assert "lock" not in client.get(f"{QEMU}/100/config")
    assert client.refused("PUT", f"{QEMU}/100/config", description="x") == f"500 {TIMEOUT}"
    assert 9.9 < client.waited[-1] < 10.1


def test_the_new_vm_refuses_a_change_at_once_and_a_start_late() -> None:
    client = cluster()
    client.task("POST", f"{QEMU}/100/clone", newid=101, **SLOW)
    client.pass_time(1)
    assert client.refused("PUT", f"{QEMU}/101/config", name="x") == "500 VM is locked (clone)"
    assert client.waited[-1] == 0
    assert client.ended("POST", f"{QEMU}/101/status/start", seconds=11) == TIMEOUT.replace("100", "101")


def test_a_change_that_waits_is_done_when_the_clone_ends_in_time() -> None:
    client = cluster()
    client.task("POST", f"{QEMU}/100/clone", newid=101, **SLOW)
    client.pass_time(98)
    assert client.call("PUT", f"{QEMU}/100/config", description="late").status == 200
    assert 3 < client.waited[-1] < 6
    assert client.get(f"{QEMU}/100/config")["description"] == "late"


def test_a_storage_that_somebody_holds_refuses_a_new_disk_after_ten_seconds() -> None:
    client = cluster()
    client.world.locks.held.append(Lock(storage_file("local"), "somebody", shared=False))
    refused = client.refused("PUT", f"{QEMU}/100/config", scsi1="local:1")
    assert refused == "500 can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout"
    assert 9.9 < client.waited[-1] < 10.1
