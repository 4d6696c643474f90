"""Installs the Debian packages that a command needs, and only those that are missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vmclone_lab.commands import attempt, run
from vmclone_lab.progress import step

if TYPE_CHECKING:
    from collections.abc import Iterable

BASE = ("iproute2", "util-linux", "mount", "procps", "openssl", "ca-certificates", "kmod")
NODE = ("containerd", "runc", "containernetworking-plugins", "iptables", "nftables", "conntrack")
NODE_BUILD = ("gcc", "libc6-dev")
LIBVIRT = (
    "libvirt-daemon-system",
    "libvirt-clients",
    "qemu-system-x86",
    "ovmf",
    "qemu-utils",
    "dnsmasq-base",
    "genisoimage",
    "openssh-client",
)
GUESTS = ("mmdebstrap", "e2fsprogs", "qemu-utils", "qemu-system-x86")
GO = ("golang-go",)


def missing_packages(wanted: Iterable[str], dpkg_listing: str) -> list[str]:
    """Return the packages that dpkg-query does not list as installed."""
    installed = set()
    for line in dpkg_listing.splitlines():
        name, _, status = line.partition(" ")
        if status == "install ok installed":
            installed.add(name.partition(":")[0])
    return sorted(set(wanted) - installed)


def ensure(wanted: Iterable[str]) -> None:
    """Install what is missing; no daemon of a package is started on the machine by us."""
    names = sorted(set(wanted))
    if not names:
        return
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${Status}\n", *names]
    missing = missing_packages(names, attempt(query).stdout)
    if not missing:
        return
    with step(f"install {len(missing)} Debian packages"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-qy", "--no-install-recommends", *missing]
        if attempt(install, env=env).returncode != 0:
            run(["apt-get", "update", "-q"], env=env)
            run(install, env=env)
