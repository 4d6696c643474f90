"""Starts the lab's libvirtd with a local socket and TLS, its guest network and its pool."""

from __future__ import annotations

import json
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

from vmclone_lab import certificates, guestimage, kvm, layout, namespaces, reaper
from vmclone_lab.certificates import Subject
from vmclone_lab.progress import wait_for
from vmclone_lab.record import write_atomically

if TYPE_CHECKING:
    from vmclone_lab.lab import Lab
    from vmclone_lab.layout import Layout

LIBVIRTD = "libvirtd"
VIRTLOGD = "virtlogd"
PARENT = "libvirtd-parent"
RUN = "/run/libvirt"
START_SECONDS = 60
DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"
"""Namespace of the options that libvirt hands on to its DHCP server."""
SERVER = Subject(
    "server",
    layout.NODE_ADDRESS,
    alternative_names=(f"IP:{layout.NODE_ADDRESS}", "IP:127.0.0.1", "DNS:localhost"),
)
CLIENT = Subject("client", "vmclone-lab-client")


def settings_text(settings: dict[str, str | int | list[str]]) -> str:
    """Render a libvirt configuration file; its values are written as in JSON."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())


def libvirtd_settings() -> dict[str, str | int | list[str]]:
    """Return libvirtd.conf: root may use the socket, TLS clients need a certificate."""
    pki = "/etc/libvirt/pki"
    return {
        "listen_tls": 1,
        "listen_tcp": 0,
        "listen_addr": "0.0.0.0",  # noqa: S104 - all addresses of the lab's own namespace
        "tls_port": str(layout.LIBVIRT_TLS_PORT),
        "auth_unix_ro": "none",
        "auth_unix_rw": "none",
        "auth_tls": "none",
        "unix_sock_group": "root",
        "unix_sock_rw_perms": "0770",
        "ca_file": f"{pki}/ca.crt",
        "cert_file": f"{pki}/server.crt",
        "key_file": f"{pki}/server.key",
        "host_uuid_source": "machine-id",
    }


def qemu_settings() -> dict[str, str | int | list[str]]:
    """Return qemu.conf: nothing that needs cgroups, a security module or an own /dev."""
    return {
        "security_driver": "none",
        "cgroup_controllers": [],
        "namespaces": [],
        "stdio_handler": "logd",
    }


def network_xml() -> str:
    """Return the guest network; `open` because mode nat refuses connections from pods."""
    network = ET.Element("network")
    ET.SubElement(network, "name").text = layout.GUEST_NETWORK
    ET.SubElement(network, "forward", mode="open")
    ET.SubElement(network, "bridge", name=layout.GUEST_BRIDGE, stp="off", delay="0")
    address = ET.SubElement(network, "ip", address=layout.GUEST_ADDRESS, netmask=layout.GUEST_NETMASK)
    dhcp = ET.SubElement(address, "dhcp")
    first, last = layout.GUEST_DHCP_RANGE
    ET.SubElement(dhcp, "range", start=first, end=last)
    # Before it offers an address dnsmasq pings it for 3 s; nobody else gives addresses out in this network.
    options = ET.SubElement(network, f"{{{DNSMASQ}}}options")
    ET.SubElement(options, f"{{{DNSMASQ}}}option", value="no-ping")
    return ET.tostring(network, encoding="unicode")


def pool_xml() -> str:
    """Return the directory pool."""
    pool = ET.Element("pool", type="dir")
    ET.SubElement(pool, "name").text = layout.POOL_NAME
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = layout.POOL_PATH
    return ET.tostring(pool, encoding="unicode")


def tls_uri() -> str:
    """Return the address of libvirtd for TLS clients, without their `pkipath`."""
    return f"qemu+tls://{layout.NODE_ADDRESS}:{layout.LIBVIRT_TLS_PORT}/system"


def _ensure_certificates(paths: Layout) -> None:
    pki = paths.private("/etc/libvirt") / "pki"
    certificates.ensure_authority(pki, "vmclone-lab-libvirt")
    for subject in (SERVER, CLIENT):
        certificates.ensure_certificate(pki, subject)
    paths.client_pki.mkdir(exist_ok=True)
    names = {
        "ca.crt": "cacert.pem",
        "client.crt": "clientcert.pem",
        "client.key": "clientkey.pem",
    }
    for ours, theirs in names.items():
        shutil.copy(pki / ours, paths.client_pki / theirs)


def _decide_on_kvm(lab: Lab) -> None:
    """Decide once per libvirtd; hide a /dev/kvm that is there but runs no guest.

    libvirtd asks QEMU about KVM again at each definition where the device could be opened.
    """
    image = lab.paths.cache / guestimage.image_key("slim") / "vmlinuz"
    lab.record.kvm = image.exists() and kvm.usable(image, lab.paths.cache)
    lab.save()
    device = str(kvm.DEVICE)
    covered = device in namespaces.mount_points(lab.holder_pid)
    if lab.record.kvm and covered:
        lab.run_inside(["umount", device])
    elif not lab.record.kvm and not covered and kvm.DEVICE.exists():
        nothing = lab.paths.state / "private" / "no-kvm"
        nothing.touch(mode=0)
        lab.run_inside(["mount", "--bind", str(nothing), device])


def _write_settings(paths: Layout) -> None:
    folder = paths.private("/etc/libvirt")
    write_atomically(folder / "libvirtd.conf", settings_text(libvirtd_settings()), 0o644)
    write_atomically(folder / "qemu.conf", settings_text(qemu_settings()), 0o644)
    write_atomically(folder / "virtlogd.conf", "", 0o644)


def _start(lab: Lab) -> None:
    """Start libvirtd below a parent that reaps, and find its pid in its pid file."""
    lab.start(VIRTLOGD, [VIRTLOGD, f"--pid-file={RUN}/lab-{VIRTLOGD}.pid"])
    if lab.is_running(LIBVIRTD):
        return
    _decide_on_kvm(lab)
    pid_file = lab.paths.private(RUN) / f"lab-{LIBVIRTD}.pid"
    pid_file.unlink(missing_ok=True)
    lab.forget(PARENT)  # an old one stays with the guests that an ended libvirtd left
    reap = [sys.executable, "-I", str(Path(reaper.__file__).resolve())]
    lab.start(PARENT, [*reap, LIBVIRTD, "--listen", f"--pid-file={RUN}/{pid_file.name}"])
    text = wait_for(
        "libvirtd's pid file",
        lambda: (pid_file.read_text().strip() or None) if pid_file.exists() else None,
        START_SECONDS,
        log=lab.log(PARENT),
        alive=lambda: lab.is_running(PARENT),
    )
    lab.adopt(LIBVIRTD, int(text))


def up(lab: Lab) -> None:
    """Start libvirtd, then define and start the network and the pool."""
    _ensure_certificates(lab.paths)
    for name in ("images", "boot"):
        folder = lab.paths.private("/var/lib/libvirt") / name
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)
    (lab.paths.private("/var/log/libvirt") / "qemu").mkdir(exist_ok=True)
    _write_settings(lab.paths)
    _start(lab)
    wait_for(
        "libvirtd",
        lambda: lab.attempt_inside(["virsh", "list", "--name"], timeout_seconds=20).returncode == 0,
        START_SECONDS,
        log=lab.log(PARENT),
        alive=lambda: lab.is_running(LIBVIRTD) and lab.is_running(VIRTLOGD),
    )
    _ensure_object(lab, "net", layout.GUEST_NETWORK, network_xml())
    _ensure_object(lab, "pool", layout.POOL_NAME, pool_xml())


def _ensure_object(lab: Lab, kind: str, name: str, xml: str) -> None:
    """Define, autostart and start a network or pool unless that is done."""
    listing = lab.run_inside(["virsh", f"{kind}-list", "--all", "--name"])
    if name not in listing.split():
        file = lab.paths.config / f"{kind}-{name}.xml"
        write_atomically(file, xml)
        lab.run_inside(["virsh", f"{kind}-define", str(file)])
        lab.run_inside(["virsh", f"{kind}-autostart", name])
    if name not in lab.run_inside(["virsh", f"{kind}-list", "--name"]).split():
        lab.run_inside(["virsh", f"{kind}-start", name])


def domains(lab: Lab) -> list[str]:
    """Return the names of all domains."""
    return lab.run_inside(["virsh", "list", "--all", "--name"]).split()
