"""Rows about disks, media, firmware's and controllers' seats. A copied disk gets a file of its own in any case."""

from __future__ import annotations

from vmclone_operator.providers.libvirt.rules.notation import Section, dropped, kept, refused
from vmclone_operator.providers.libvirt.rules.shared import BOOT, SEAT

_HOW = "how the disk is served: nothing of the host is named"
_MEDIUM = "where a medium or read-only disk is, which is shared; a copied disk gets a file of its own"
_LOCAL = "only disks in files, block devices or volumes are cloned"
_WITH_KEY = "its bytes are read with a secret of the source"
_DETACH = "detach it from the source"
_LIMITS = "limits, per VM"


def _place(name: str) -> str:
    """Return where bytes are, for a disk or for a layer below it."""
    return f"""{name}(file dev pool volume protocol name query startupPolicy) {name}/host(name port transport)
        {name}/ssl(verify) {name}/readahead(size) {name}/timeout(seconds) {name}/reconnect(enabled delay timeout)"""


def _elsewhere(name: str) -> str:
    """Return what no copy can be made of, and no second VM can have."""
    return f"""{name}/slices {name}/reservations {name}/identity {name}/initiator {name}/snapshot {name}/config
        {name}/address {name}/dataStore {name}/knownHosts {name}/host@(socket)
        {name}@mode=direct
        {name}@(dir fdgroup managed namespace path type tls tlsHostname)"""


DISK = Section(
    path="devices/disk",
    title="Disks",
    rows=(
        kept("@type=file|block|volume", "copied, or shared where it is only read"),
        refused("@type=network[@device!=cdrom][!readonly]", f"is a network disk: {_LOCAL}", _DETACH),
        kept("@type=network", "a medium that is only read"),
        refused("@type=dir", f"is a dir disk: {_LOCAL}", _DETACH),
        refused("@type=vhostuser", f"is a vhostuser disk: {_LOCAL}", _DETACH),
        refused("@type=nvme", f"is a nvme disk: {_LOCAL}", _DETACH),
        kept("@device=disk|cdrom", "what kind of drive the guest sees"),
        refused(
            "@device=floppy[source][!readonly]",
            "is a writable floppy, which two VMs cannot share",
            "remove it or make it read-only",
        ),
        kept("@device=floppy", "a floppy that is only read"),
        refused("@device=lun", "is a passed-through SCSI LUN, which cannot be copied", _DETACH),
        kept("(model snapshot)", _HOW),
        refused("(rawio sgio)", "they are of passed-through LUNs, which cannot be copied", _DETACH),
        kept("target(dev bus tray removable rotation_rate) geometry(cyls heads secs trans)", "what the guest sees"),
        kept(
            "blockio(logical_block_size physical_block_size discard_granularity) vendor product", "what the guest sees"
        ),
        kept("serial wwn", "unique in one VM, not on a host: the guest's fstab may name it"),
        kept(
            """driver(name type cache io ioeventfd event_idx copy_on_read discard detect_zeroes discard_no_unref
            iothread queues queue_size error_policy rerror_policy iommu ats packed page_per_vq) driver/metadata_cache
            driver/metadata_cache/max_size(unit) driver/iothreads driver/iothreads/iothread(id)
            driver/iothreads/iothread/queue(id)""",
            _HOW + "; a copied disk is qcow2, and discards are on",
        ),
        refused(
            "shareable[!readonly]",
            "is shareable and writable: a clone would write to the source's own disk",
            "detach it from the source, or make it read-only",
        ),
        kept("readonly shareable", "a disk that is only read is shared, not copied"),
        dropped("transient", "a clone would lose its identity and its scrub at its first power-off"),
        dropped("mirror", "a copy job of the running source"),
        dropped("privateData", "libvirt's own notes on the running source"),
        kept("iotune iotune/group_name throttlefilters throttlefilters/throttlefilter(group)", _LIMITS),
        kept("iotune/total_bytes_sec iotune/read_bytes_sec iotune/write_bytes_sec", _LIMITS),
        kept("iotune/total_iops_sec iotune/read_iops_sec iotune/write_iops_sec iotune/size_iops_sec", _LIMITS),
        kept("iotune/total_bytes_sec_max iotune/read_bytes_sec_max iotune/write_bytes_sec_max", _LIMITS),
        kept("iotune/total_iops_sec_max iotune/read_iops_sec_max iotune/write_iops_sec_max", _LIMITS),
        kept("iotune/total_bytes_sec_max_length iotune/read_bytes_sec_max_length", _LIMITS),
        kept("iotune/write_bytes_sec_max_length iotune/total_iops_sec_max_length", _LIMITS),
        kept("iotune/read_iops_sec_max_length iotune/write_iops_sec_max_length", _LIMITS),
        refused("backenddomain", "it is of Xen"),
        refused(
            "encryption source/encryption",
            "is encrypted by the host, which is not supported",
            "decrypt it, or leave it out",
        ),
        refused("auth source/auth source/cookies", _WITH_KEY, _DETACH),
        refused(
            "backingStore/source/encryption backingStore/encryption", "is on a layer that is encrypted by the host"
        ),
        refused("backingStore/source/auth backingStore/source/cookies", _WITH_KEY, _DETACH),
        refused(_elsewhere("source") + _elsewhere(" backingStore/source"), f"its bytes are somewhere else: {_LOCAL}"),
        kept("source@mode=host backingStore/source@mode=host", _MEDIUM),
        dropped("source/seclabel backingStore/source/seclabel", "libvirt labels what a clone opens"),
        dropped(
            "source@(index) backingStore@(index) source/privateData backingStore/source/privateData",
            "of the running VM",
        ),
        dropped("backingStore/source@(index)", "of the running VM"),
        kept(_place("source"), _MEDIUM),
        kept("backingStore(type id) backingStore/format(type) backingStore/format/metadata_cache", _MEDIUM),
        kept("backingStore/format/metadata_cache/max_size(unit)", _MEDIUM),
        kept(_place("backingStore/source"), _MEDIUM),
        BOOT,
        *SEAT,
    ),
)
CONTROLLER = Section(
    path="devices/controller",
    title="Controllers",
    rows=(
        kept("(type index model ports vectors maxEventChannels maxGrantFrames)", "devices refer to them"),
        kept("master(startport) model(name) pcihole64(unit) target/node", "devices refer to them"),
        kept("target(busNr chassis chassisNr hotplug index port memReserve)", "devices refer to them"),
        kept(
            """driver(queues cmd_per_lun max_sectors ioeventfd iothread iommu ats packed page_per_vq) driver/iothreads
            driver/iothreads/iothread(id) driver/iothreads/iothread/queue(id)""",
            _HOW,
        ),
        *SEAT,
    ),
)
SECTIONS = (DISK, CONTROLLER)
