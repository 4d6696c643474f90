"""The fake backend's guest behind a VM of the double: who a clone is, and when that changes."""

from __future__ import annotations

from tests.doubles.pve.modelled import use_vmclone_guests, vmclone_disk
from tests.unit.doubles.pve.clients import QEMU, Client, cluster, run, source_volume

from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.guest import PROBE, GuestProbe, IdentityState, identity_command, parse_probe
from vmclone_operator.providers.fake.guest import Guest, host_key

RESET = identity_command(token="t1", hostname="clone-1", user="admin", authorized_keys=())


def with_clone() -> Client:
    """Return a cluster in which VM 101, a clone of the running VM 100, runs."""
    client = cluster()
    use_vmclone_guests(client.guests)
    guest = Guest(machine_id="a" * 32, hostname="golden", host_key=host_key("golden"), reset_seconds=10)
    client.guests.disks[source_volume("dir")] = vmclone_disk(guest)
    run(client)
    assert client.ended("POST", f"{QEMU}/100/clone", newid=101, full=1) == "OK"
    run(client, 101)
    return client


def execute(client: Client, vmid: int, command: GuestCommand) -> str:
    agent = f"{QEMU}/{vmid}/agent"
    argv = ["/bin/sh", "-c", command.script]
    pid = client.call("POST", f"{agent}/exec", command=argv, input_data=command.stdin).body["data"]["pid"]
    ended = client.get(f"{agent}/exec-status", pid=pid)
    assert (ended["exited"], ended["exitcode"]) == (1, 0), ended
    return str(ended.get("out-data", ""))


def probe(client: Client, vmid: int) -> GuestProbe:
    return parse_probe(execute(client, vmid, PROBE))


def test_a_clone_is_its_source_until_its_identity_is_reset() -> None:
    client = with_clone()
    before = probe(client, 100)
    assert probe(client, 101) == before
    execute(client, 101, RESET)
    client.pass_time(15)
    known = probe(client, 101)
    assert (known.identity_state, known.hostname) == (IdentityState.DONE, "clone-1")
    assert known.machine_id_hash != before.machine_id_hash
    assert probe(client, 100) == before


def test_a_reset_that_runs_dies_with_the_power() -> None:
    client = with_clone()
    execute(client, 101, RESET)
    assert client.ended("POST", f"{QEMU}/101/status/stop") == "OK"
    run(client, 101)
    client.pass_time(30)
    assert probe(client, 101) == probe(client, 100)


def test_a_script_that_is_not_ours_is_not_known() -> None:
    client = with_clone()
    agent = f"{QEMU}/101/agent"
    pid = client.call("POST", f"{agent}/exec", command=["/bin/sh", "-c", "id"]).body["data"]["pid"]
    assert client.get(f"{agent}/exec-status", pid=pid)["exitcode"] == 127
