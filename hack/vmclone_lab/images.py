"""Puts golden images into the pool: what a platform team offers for machines that start clean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vmclone_lab import guestimage, layout
from vmclone_lab.commands import run
from vmclone_lab.errors import LabError
from vmclone_lab.progress import step

if TYPE_CHECKING:
    from vmclone_lab.lab import Lab

SUFFIX = ".qcow2"
READ_ONLY = 0o444


def volume_name(name: str) -> str:
    """Return the name of the volume that holds the image."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,50}[a-z0-9])?", name):
        raise LabError(f"{name!r} is no image name: lower-case letters, digits, dots, hyphens")
    return name if name.endswith(SUFFIX) else name + SUFFIX


def offer(lab: Lab, name: str, profile: str) -> dict[str, str]:
    """Put a guest image that was never booted into the pool, read-only, unless it is there."""
    volume = volume_name(name)
    if not lab.is_running("libvirtd"):
        raise LabError("the lab has no libvirtd: run `hack/lab up`")
    target = lab.paths.pool / volume
    if not target.exists():
        with step(f"offer image {volume} ({profile})"):
            image = guestimage.stage(lab, profile)
            temporary = target.with_name(f".{volume}.new")
            run(["qemu-img", "convert", "-O", "qcow2", image, temporary])
            temporary.chmod(READ_ONLY)
            temporary.rename(target)
    # Not possible while a volume is being built; who looks for the image refreshes the pool, too.
    lab.attempt_inside(["virsh", "pool-refresh", layout.POOL_NAME])
    return {"volume": volume, "pool": layout.POOL_NAME, "profile": profile}
