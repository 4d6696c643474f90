"""Rows about all other devices: host devices, memory modules, TPMs, and what is emulated alone."""

from __future__ import annotations

from vmclone_operator.providers.libvirt.rules.notation import Section, dropped, kept, made_anew, refused
from vmclone_operator.providers.libvirt.rules.shared import SEAT, VIRTIO

_GUEST = "what the guest sees; nothing of the host is named"
_ONE_VM = "one VM alone can have it"
LIST = Section(path="devices", title="Devices", rows=(kept("emulator", "the program that runs it"),))
REFUSED = (
    Section(path="devices/hostdev", title="Host devices", rows=(refused(".", f"a host device (hostdev): {_ONE_VM}"),)),
    Section(
        path="devices/filesystem",
        title="Shared directories",
        rows=(refused(".", "a clone could write into a host directory that is the source's (filesystem)"),),
    ),
    Section(
        path="devices/shmem",
        title="Shared memory",
        rows=(refused(".", "a clone would write the memory that the source shares with others (shmem)"),),
    ),
    Section(
        path="devices/lease",
        title="Lock leases",
        rows=(refused(".", f"a lock lease: {_ONE_VM}"),),
    ),
    Section(
        path="devices/pstore",
        title="Crash dumps",
        rows=(refused(".", "two VMs would write the file of its crash dumps (pstore)"),),
    ),
)
INPUT = Section(
    path="devices/input",
    title="Input devices",
    rows=(
        kept("@type=mouse|keyboard|tablet (bus model)", _GUEST),
        refused("@type=passthrough|evdev", f"an input device of the host: {_ONE_VM}"),
        refused("source", f"an input device of the host: {_ONE_VM}"),
        VIRTIO,
        *SEAT,
    ),
)
TPM = Section(
    path="devices/tpm",
    title="TPMs",
    rows=(
        kept("(model)", _GUEST),
        refused("backend@type=passthrough", f"the TPM of its host (tpm): {_ONE_VM}", "use an emulated one"),
        refused("backend@type=external", f"a TPM that another program runs (tpm): {_ONE_VM}", "use an emulated one"),
        kept("backend@type=emulator backend(version debug)", "the clone gets a new, empty one"),
        dropped("backend@(persistent_state)", "the state goes with the clone"),
        dropped("backend/source", "a place of the source's; libvirt makes one by the clone's UUID"),
        refused("backend/device", f"the TPM of its host (tpm): {_ONE_VM}"),
        kept("backend/encryption(secret)", "what is kept on the host stays encrypted"),
        kept("backend/active_pcr_banks backend/active_pcr_banks/sha1 backend/active_pcr_banks/sha256", _GUEST),
        kept("backend/active_pcr_banks/sha384 backend/active_pcr_banks/sha512", _GUEST),
        kept("backend/profile(source name removeDisabled)", _GUEST),
        *SEAT,
    ),
)
VSOCK = Section(
    path="devices/vsock",
    title="Sockets between guest and host",
    rows=(kept("(model)", _GUEST), made_anew("cid", "libvirt chooses a free one"), VIRTIO, *SEAT),
)
_MODULE = "memory of its own"
MEMORY = Section(
    path="devices/memory",
    title="Memory modules",
    rows=(
        kept("@model=dimm|virtio-mem|sgx-epc (access discard)", _MODULE),
        refused("@model=nvdimm|virtio-pmem", "two VMs would write the file that it is kept in (nvdimm)"),
        refused("source/path source/pmem", "two VMs would write the file that it is kept in (nvdimm)"),
        dropped("uuid", "the number of one module"),
        kept("source source/pagesize(unit) source/nodemask source/alignsize(unit) target", _MODULE),
        kept(
            "target(dynamicMemslots) target/size(unit) target/node target/block(unit) target/requested(unit)", _MODULE
        ),
        kept("target/label target/label/size(unit) target/readonly target/address(base)", _MODULE),
        dropped("target/current", "of the running VM"),
        *SEAT,
    ),
)
EMULATED = (
    Section(
        path="devices/memballoon",
        title="Memory balloons",
        rows=(kept("(model autodeflate freePageReporting) stats(period)", _GUEST), VIRTIO, *SEAT),
    ),
    Section(path="devices/watchdog", title="Watchdogs", rows=(kept("(model action)", _GUEST), *SEAT)),
    Section(path="devices/panic", title="Panic notifiers", rows=(kept("(model)", _GUEST), *SEAT)),
    Section(path="devices/hub", title="USB hubs", rows=(kept("(type)", _GUEST), *SEAT)),
    Section(
        path="devices/iommu",
        title="IOMMUs",
        rows=(
            kept("(model)", _GUEST),
            kept("driver(intremap caching_mode eim iotlb aw_bits dma_translation xtsup granule)", _GUEST),
            *SEAT,
        ),
    ),
    Section(
        path="devices/crypto",
        title="Crypto devices",
        rows=(
            kept("(model type) backend@model=builtin backend(queues)", _GUEST),
            refused("backend@model=lkcf", "it uses keys of the host's kernel"),
            VIRTIO,
            *SEAT,
        ),
    ),
    Section(path="devices/nvram", title="NVRAM of pseries machines", rows=SEAT),
)
SECTIONS = (LIST, *REFUSED, INPUT, TPM, VSOCK, MEMORY, *EMULATED)
