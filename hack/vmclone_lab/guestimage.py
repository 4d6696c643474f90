"""Builds guest images: a minimal Debian 12 that differs per profile only in its configuration.

`slim` boots fast in emulation. `stock` behaves as a distribution ships: it waits for the
network, leaves network configuration to cloud-init and asks DHCP with a DUID from its
machine-id, which is exactly where clones go wrong.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vmclone_lab import layout, packages
from vmclone_lab.commands import run
from vmclone_lab.errors import LabError
from vmclone_lab.progress import step

if TYPE_CHECKING:
    from vmclone_lab.lab import Lab

TREES = Path(__file__).parent / "guest"
SUITE = "bookworm"
PROFILES = ("slim", "stock")
LABEL = "vmclone-root"
IMAGE_MIB = 1024
PACKAGES = (
    "cloud-init",
    "dbus",
    "iproute2",
    "iputils-ping",
    "linux-image-cloud-amd64",
    "lz4",
    "netbase",
    "openssh-server",
    "python3-minimal",
    "qemu-guest-agent",
    "rsync",
    "sudo",
    "systemd-sysv",
    "udev",
)
LEFT_OUT = ("doc", "man", "locale", "info")
PARTS = ("disk.qcow2", "vmlinuz", "initrd.img")


def tree_digest(tree: Path) -> str:
    """Return a digest of names, contents and link targets below `tree`."""
    digest = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if path.is_symlink():
            digest.update(f"{name} -> {path.readlink()}\0".encode())
        elif path.is_file():
            digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def base_key() -> str:
    """Name the root file system shared by all profiles."""
    recipe = repr((SUITE, PACKAGES, LEFT_OUT, tree_digest(TREES / "base")))
    return f"guest-base-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"


def image_key(profile: str) -> str:
    """Name the image of a profile."""
    if profile not in PROFILES:
        raise LabError(f"unknown guest profile {profile!r}: choose from {', '.join(PROFILES)}")
    recipe = repr((base_key(), IMAGE_MIB, tree_digest(TREES / profile)))
    return f"guest-{profile}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def is_built(profile: str, cache: Path) -> bool:
    """Tell whether the image is in the cache."""
    return (cache / image_key(profile)).is_dir()


def bootstrap_argv(target: Path) -> list[str]:
    """Return the mmdebstrap command; the mirror is the one that mmdebstrap knows by itself."""
    excludes = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        *excludes,
        '--aptopt=Acquire::Languages "none"',
        f"--essential-hook=sync-in {TREES / 'base'} /",
        SUITE,
        str(target),
    ]


def _build_base(cache: Path) -> Path:
    target = cache / base_key()
    if not target.exists():
        with step("bootstrap the guests' Debian"):
            cache.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.stem}-{os.getpid()}.tar")
            try:
                run(["nice", "-n", "5", *bootstrap_argv(temporary)])
                temporary.rename(target)
            finally:
                temporary.unlink(missing_ok=True)
    return target


def strip_identity(root: Path) -> None:
    """Remove what must be made by each machine itself: host keys, machine-id."""
    for key in (root / "etc" / "ssh").glob("ssh_host_*"):
        key.unlink()
    # Empty, not "uninitialized": the latter would make systemd apply all presets.
    (root / "etc" / "machine-id").write_text("")
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    # mmdebstrap leaves the building machine's own there.
    (root / "etc" / "hostname").write_text("localhost\n")
    (root / "etc" / "resolv.conf").write_text("")


def apply_profile(root: Path, profile: str) -> None:
    """Copy the profile's tree over the root file system, links as links."""
    shutil.copytree(TREES / profile, root, symlinks=True, dirs_exist_ok=True)


def build(profile: str, cache: Path) -> Path:
    """Build the image of a profile unless it is cached; return its directory."""
    target = cache / image_key(profile)
    if target.is_dir():
        return target
    packages.ensure(packages.GUESTS)
    base = _build_base(cache)
    with step(f"build the {profile} guest image"):
        temporary = Path(tempfile.mkdtemp(dir=cache, prefix=f".guest-{profile}-"))
        try:
            _assemble(base, temporary, profile)
            (temporary / "out").rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _assemble(base: Path, folder: Path, profile: str) -> None:
    root, out, raw = folder / "root", folder / "out", folder / "disk.raw"
    root.mkdir()
    out.mkdir()
    run(["tar", "--extract", "--numeric-owner", "--xattrs", "--file", base, "--directory", root])
    strip_identity(root)
    apply_profile(root, profile)
    for name, part in (("vmlinuz-*", "vmlinuz"), ("initrd.img-*", "initrd.img")):
        shutil.copy(next((root / "boot").glob(name)), out / part)
        (out / part).chmod(0o644)
    options = ["-q", "-F", "-t", "ext4", "-L", LABEL, "-d", str(root)]
    run(["mke2fs", *options, raw, f"{IMAGE_MIB}M"])
    run(["qemu-img", "convert", "-O", "qcow2", raw, out / "disk.qcow2"])


def stage(lab: Lab, profile: str) -> Path:
    """Put kernel and initramfs where the lab's QEMU may read them; return the cached image."""
    image = build(profile, lab.paths.cache)
    boot = lab.paths.private(str(Path(layout.BOOT_PATH).parent)) / Path(layout.BOOT_PATH).name
    for part in PARTS[1:]:
        target = boot / f"{profile}-{part}"
        if not target.exists():
            temporary = target.with_name(target.name + ".new")
            shutil.copy(image / part, temporary)
            temporary.chmod(0o644)
            temporary.rename(target)
    return image / PARTS[0]
