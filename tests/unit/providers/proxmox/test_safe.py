"""What of a source's config a clone may have: every key of the server's own table has its place in the list."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.doubles.pve.clients import SOURCE
from tests.unit.providers.proxmox.lives import CLONE

from vmclone_operator.domain.backend import Mode, Shape
from vmclone_operator.providers.proxmox import safe

TABLES = Path(__file__).parents[3] / "doubles" / "pve" / "tables" / "endpoints.json"
NOT_CONFIG = frozenset(["cdrom", "delete", "digest", "force", "node", "revert", "skiplock", "vmid"])
PLAIN = {key: value for key, value in SOURCE.items() if key != "name"}


def keys_of_the_server() -> list[str]:
    """Return every config key that the recorded server takes, the first of each numbered family."""
    named: dict[str, Any] = json.loads(TABLES.read_text())["includes"]["config"]
    return sorted(key.replace("[n]", "0") for key in named if key not in NOT_CONFIG)


VALUES = {"usb0": "host=1234:5678", "serial0": "/dev/ttyS0", "scsi0": SOURCE["scsi0"], "hostpci0": "0000:01:00.0"}
REFUSED = {"args", "hookscript", "hostpci0", "ivshmem", "parallel0", "serial0", "usb0", "virtiofs0"}


def test_every_key_of_the_server_is_in_the_list_and_only_the_hosts_own_are_refused() -> None:
    keys = keys_of_the_server()
    assert len(keys) > 70
    refused = {key for key in keys if list(safe.refusals({key: VALUES.get(key, "1")}))}
    assert refused == REFUSED


@pytest.mark.parametrize(
    ("key", "value"),
    [("usb0", "spice"), ("usb1", "host=spice,usb3=1"), ("serial0", "socket"), ("scsi1", "none,media=cdrom")],
)
def test_what_is_nobodys_device_is_no_reason_against_a_clone(key: str, value: str) -> None:
    assert not list(safe.refusals({key: value}))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("a-key-of-2030", "1", "does not know whether"),
        ("scsi1", "/dev/disk/by-id/x,size=1G", "device of the host"),
        ("hostpci3", "mapping=gpu", "PCI device"),
    ],
)
def test_what_is_not_known_to_be_safe_is_refused_by_its_name(key: str, value: str, says: str) -> None:
    told = list(safe.refusals({key: value}))
    assert len(told) == 1
    assert told[0].startswith(f"{key}: ")
    assert says in told[0]


def changed(config: dict[str, Any], **intent: Any) -> safe.Change:
    return safe.change_for({**PLAIN, **config}, replace(CLONE, **intent), seed="local:iso/s.iso")


@pytest.mark.parametrize(
    "key", ["ciuser", "cipassword", "sshkeys", "ipconfig0", "nameserver", "onboot", "cicustom", "freeze", "ciupgrade"]
)
def test_goes_before_the_first_boot(key: str) -> None:
    assert key in changed({key: "x"}).delete


def test_protection_goes_first_and_alone_and_then_the_cloud_init_drive() -> None:
    drive = {"ide2": "local:9101/vm-9101-cloudinit.qcow2,media=cdrom", "onboot": 1}
    assert changed({"protection": 1, **drive}) == safe.Change(delete=("protection",))
    assert changed(drive) == safe.Change(delete=["ide2"])
    assert changed({"onboot": 1}).set["ide2"] == "local:iso/s.iso,media=cdrom"


def test_a_cd_of_the_source_gives_way_to_the_seed_and_other_cds_go() -> None:
    change = changed({"sata1": "local:iso/a.iso,media=cdrom", "sata2": "none,media=cdrom"})
    assert change.set["sata1"] == "local:iso/s.iso,media=cdrom"
    assert change.delete == ["sata2"]


def test_cards_have_addresses_of_their_own_and_no_cable_but_in_mode_clean() -> None:
    assert changed({}).set["net0"].endswith(",bridge=vmbr0,link_down=1")
    assert changed({}, mode=Mode.CLEAN).set["net0"].endswith(",bridge=vmbr0")


@pytest.mark.parametrize(
    ("network", "text"), [("vmbr1", ",bridge=vmbr1,link_down=1"), ("vmbr1.7", ",bridge=vmbr1,link_down=1,tag=7")]
)
def test_a_wish_for_another_network_moves_the_card(network: str, text: str) -> None:
    tagged = {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=4,firewall=1"}
    wanted = text.replace("bridge=vmbr1", "bridge=vmbr1,firewall=1")
    assert changed(tagged, shape=Shape(networks=(network,))).set["net0"].endswith(wanted)


def test_a_wish_for_another_size_is_cores_of_one_socket_and_whole_mebibytes() -> None:
    change = changed({"sockets": 2, "cores": 2, "balloon": 200}, shape=Shape(cpus=3, memory_bytes=128 << 20))
    assert {key: change.set[key] for key in ("sockets", "cores", "memory", "balloon")} == {
        "sockets": "1",
        "cores": "3",
        "memory": "128",
        "balloon": "128",
    }


def test_nothing_is_left_to_do_once_it_is_done() -> None:
    config = {**PLAIN, "onboot": 1, "sata1": "none,media=cdrom"}
    change = safe.change_for(config, CLONE, seed="local:iso/s.iso")
    after = {**{key: value for key, value in config.items() if key not in change.delete}, **change.set}
    assert not safe.change_for(after, CLONE, seed="local:iso/s.iso")


@pytest.mark.parametrize(
    ("volume", "fine"),
    [
        ("local:9101/vm-9101-disk-0.qcow2", True),
        ("local:110/base-110-disk-1.qcow2/9101/vm-9101-disk-0.qcow2", True),
        ("tank:base-110-disk-0/vm-9101-disk-0", True),
        ("tank:vm-9101-disk-0", True),
        ("local:100/vm-100-disk-0.qcow2", False),
        ("local:110/base-110-disk-1.qcow2", False),
        ("tank:vm-91012-disk-0", False),
    ],
)
def test_a_disk_is_the_clones_own_or_it_is_not_switched_on(volume: str, *, fine: bool) -> None:
    assert (safe.exposed({"scsi0": f"{volume},size=1G"}, 9101) == "") is fine
