"""Rows about serial ports, consoles, channels and what speaks through them. The guest's end stays."""

from __future__ import annotations

from vmclone_operator.providers.libvirt.rules.notation import Row, Section, dropped, kept, made_anew, refused
from vmclone_operator.providers.libvirt.rules.shared import BOOT, SEAT

_OWN_END = "QEMU or libvirt makes the other end for each VM"
_TO_PTY = "a file, socket, port, pipe or terminal of the source: the clone gets a terminal of its own (pty)"
_HOST_END = "the host's end is the source's"
_GUEST = "what the guest sees"
_SPICE = "what the guest or its screen sees: nothing of the host"


def _host_end(above: str = "") -> tuple[Row, ...]:
    """Return the rows about a character device's end on the host."""
    source = f"{above}source"
    return (
        kept(f"{source} {source}@channel {source}/clipboard(copypaste) {source}/mouse(mode)", _SPICE),
        dropped(f"{source}@(path host service mode master slave append tls name)", _HOST_END),
        dropped(f"{source}/reconnect {source}/seclabel {source}/address", _HOST_END),
        dropped(f"{above}protocol {above}log", _HOST_END),
    )


def _port(name: str, title: str) -> Section:
    return Section(
        path=f"devices/{name}",
        title=title,
        rows=(
            kept("@type=pty|null|vc|spicevmc|spiceport|qemu-vdagent|dbus", _OWN_END),
            made_anew("@type=file|dev|pipe|stdio|tcp|udp|unix|nmdm", _TO_PTY),
            dropped("@(tty)", _HOST_END),
            *_host_end(),
            kept("target(type port) target/model(name)", _GUEST),
            *SEAT,
        ),
    )


CHANNEL = Section(
    path="devices/channel",
    title="Channels",
    rows=(
        kept("@type=pty|null|vc|spicevmc|spiceport|qemu-vdagent|dbus", _OWN_END),
        kept("@type=unix", "the socket's name is new: libvirt chooses it"),
        made_anew("@type=file|dev|pipe|stdio|tcp|udp|nmdm", _TO_PTY),
        *_host_end(),
        kept("target(type name address port)", _GUEST),
        dropped("target@(state)", "of the running VM"),
        *SEAT,
    ),
)
REDIRECTED = Section(
    path="devices/redirdev",
    title="Redirected USB devices",
    rows=(
        kept("@type=spicevmc", _OWN_END),
        refused(
            "@type=dbus|dev|file|nmdm|null|pipe|pty|qemu-vdagent|spiceport|stdio|tcp|udp|unix|vc",
            "a device is redirected from somewhere else (redirdev) to one VM",
        ),
        kept("(bus)", _GUEST),
        *_host_end(),
        BOOT,
        *SEAT,
    ),
)
SMARTCARD = Section(
    path="devices/smartcard",
    title="Smart cards",
    rows=(
        kept("@mode=passthrough", "the card of whoever looks at the screen"),
        refused("@mode=host|host-certificates", "the card, or the certificates, of its host are the source's identity"),
        kept("@type=spicevmc", _OWN_END),
        refused(
            "@type=dbus|dev|file|nmdm|null|pipe|pty|qemu-vdagent|spiceport|stdio|tcp|udp|unix|vc",
            "a card is passed through from somewhere else to one VM",
        ),
        refused("certificate database", "they are the source's identity"),
        kept("target(type port) target/model(name)", _GUEST),
        *_host_end(),
        *SEAT,
    ),
)
RANDOM = Section(
    path="devices/rng",
    title="Entropy",
    rows=(
        kept("(model) rate(bytes period) backend@model=random|builtin", _GUEST),
        refused("backend@model=egd", "it comes from a socket (egd), which one VM may have alone", "use model random"),
        kept("backend#=/dev/random|/dev/urandom|/dev/hwrng", "devices that all may read"),
        kept("backend", "what all may read"),
        refused(
            "backend#", "it is read from a file or device of the host that a second VM may not read", "use /dev/urandom"
        ),
        refused(
            "backend@(type) backend/source backend/protocol backend/log",
            "the other end is one VM's",
            "use model random",
        ),
        kept("driver(iommu ats packed page_per_vq)", _GUEST),
        *SEAT,
    ),
)
SECTIONS = (
    _port("serial", "Serial ports"),
    _port("console", "Consoles"),
    _port("parallel", "Parallel ports"),
    CHANNEL,
    REDIRECTED,
    Section(
        path="devices/redirfilter",
        title="Which USB devices may be redirected",
        rows=(kept("usbdev(class vendor product version allow)", _GUEST),),
    ),
    SMARTCARD,
    RANDOM,
)
