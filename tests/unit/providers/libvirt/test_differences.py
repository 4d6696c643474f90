"""What runs and what is configured, compared: pure, over two documents."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from vmclone_operator.providers.libvirt.differences import differences

DISK = "<disk type='file'><source file='/{file}'/><target dev='{target}'/>{more}</disk>"
CARD = (
    "<interface type='network'><mac address='{mac}'/><source network='{network}'{more}/><model type='virtio'/>"
    "</interface>"
)
SHARE = "<filesystem><source dir='{source}'/><target dir='{tag}'/></filesystem>"


def vm(devices: str) -> ET.Element:
    return ET.fromstring(f"<domain><devices>{devices}</devices></domain>")  # noqa: S314 - ours


def disk(target: str, more: str = "", file: str = "a") -> str:
    return DISK.format(target=target, more=more, file=file)


def card(mac: str = "52:54:00:00:00:01", network: str = "lan", more: str = "") -> str:
    return CARD.format(mac=mac, network=network, more=more)


TOLD = {
    "a disk that only runs": (disk("vda") + disk("vdb"), disk("vda"), "disk vdb is only in the running VM"),
    "a disk of the next start": (disk("vda"), disk("vda") + disk("vdb"), "disk vdb is only in the configuration"),
    "a disk that is to be read-only": (disk("vdb"), disk("vdb", "<readonly/>"), "disk vdb is not the same"),
    "a disk that is to be shared": (disk("vdb"), disk("vdb", "<shareable/>"), "disk vdb is not the same"),
    "a card that only runs": (card(), "", "the network card 52:54:00:00:00:01 is only in the running VM"),
    "a card of the next start": ("", card(), "the network card 52:54:00:00:00:01 is only in the configuration"),
    "a card on another network": (card(), card(network="dmz"), "the network card 52:54:00:00:00:01 is not the same"),
    "a folder of the next start": ("", SHARE.format(source="/a", tag="t"), "the shared folder t is only in the conf"),
    "another folder under a tag": (
        SHARE.format(source="/a", tag="t"),
        SHARE.format(source="/b", tag="t"),
        "the shared folder t is not the same",
    ),
    "a host device that only runs": ("<hostdev/>", "", "a device (hostdev) is only in the running VM"),
    "a TPM of the next start": ("", "<tpm/>", "a device (tpm) is only in the configuration of the next start"),
}


@pytest.mark.parametrize(("live", "configured", "sentence"), TOLD.values(), ids=TOLD.keys())
def test_a_difference_is_one_sentence_that_says_what_to_do(live: str, configured: str, sentence: str) -> None:
    (found,) = differences(vm(live), vm(configured))
    assert found.startswith(sentence)
    assert "restart the source" in found or "detach it" in found


SAME = {
    "the same": (disk("vda") + card(), disk("vda") + card()),
    "another image, for the running one is copied": (disk("vda", file="a"), disk("vda", file="b")),
    "a medium": (
        "<disk device='cdrom'><source file='/a'/><target dev='sda'/></disk>",
        "<disk device='cdrom'><target dev='sda'/></disk>",
    ),
    "a drive": ("<disk device='cdrom'><target dev='sda'/></disk>", ""),
    "what libvirt adds to what runs": (
        card(more=" portid='1' bridge='virbr0'") + "<controller/><memballoon/><audio/>" + "<input/>",
        card(),
    ),
    "a MAC address in capitals": (card("52:54:00:AB:00:01"), card("52:54:00:ab:00:01")),
}


@pytest.mark.parametrize(("live", "configured"), SAME.values(), ids=SAME.keys())
def test_what_makes_no_other_clone_is_not_told(live: str, configured: str) -> None:
    assert differences(vm(live), vm(configured)) == []
