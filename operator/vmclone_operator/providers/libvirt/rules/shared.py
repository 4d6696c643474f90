"""Rows that stand in many sections: where a device sits in the machine, and how virtio devices are driven."""

from __future__ import annotations

from vmclone_operator.providers.libvirt.rules.notation import dropped, kept

_SEAT = "the guest knows the device by its seat, and so do drivers, boot entries and names of network cards"
SEAT = (
    kept(
        """address(type domain bus slot function multifunction controller target unit port base iobase irq cssid ssid
        devno reg) address/zpci(uid fid)""",
        _SEAT,
    ),
    kept("acpi(index nodeset)", _SEAT),
    kept("alias(name)", "a name that is unique in one VM: overrides and teamed cards refer to it"),
)
VIRTIO = kept("driver(ats iommu packed page_per_vq)", "how the device is driven; nothing of the host is named")
BOOT = kept("boot(order loadparm)", "the boot order of the clone is that of its source")
PROGRAM_LABELS = dropped(
    "seclabel", "libvirt gives the clone a label of its own; the source's would open the source's files to it"
)
