"""What `--only` can name, what depends on what, and how each part is prepared and started."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from vmclone_lab import (
    controlplane,
    gotools,
    guestimage,
    libvirtd,
    namespaces,
    node,
    packages,
    pauseimage,
)
from vmclone_lab.errors import LabError
from vmclone_lab.progress import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from vmclone_lab.lab import Lab

CONTROL_PLANE = "control-plane"
LIBVIRT = "libvirt"
NODE = "node"
GUESTS = "guests"
ALL = (CONTROL_PLANE, LIBVIRT, NODE, GUESTS)
DEPENDS: dict[str, tuple[str, ...]] = {
    CONTROL_PLANE: (),
    LIBVIRT: (),
    NODE: (CONTROL_PLANE,),
    GUESTS: (LIBVIRT,),
}
PACKAGES: dict[str, tuple[str, ...]] = {
    CONTROL_PLANE: (),
    LIBVIRT: packages.LIBVIRT,
    NODE: packages.NODE,
    GUESTS: packages.GUESTS,
}
DEFAULT_PROFILE = "slim"


def resolve(names: Iterable[str]) -> tuple[str, ...]:
    """Return the named parts and all they depend on, in starting order."""
    wanted: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in DEPENDS:
            raise LabError(f"unknown part {name!r}: choose from {', '.join(ALL)}")
        wanted.add(name)
        todo.extend(DEPENDS[name])
    return tuple(name for name in ALL if name in wanted)


def build_all(parts: tuple[str, ...], cache: Path) -> None:
    """Build what the parts need and the cache lacks, side by side."""
    jobs: list[Callable[[], object]] = []
    if CONTROL_PLANE in parts:
        for name in ("etcd", "kubernetes"):
            tool = gotools.TOOLS[name]
            if not tool.is_built(cache):
                jobs.append(partial(gotools.build, tool, cache))
    if NODE in parts and not pauseimage.archive(cache).exists():
        packages.ensure(packages.NODE_BUILD)
        jobs.append(lambda: pauseimage.build(cache))
    if GUESTS in parts and not guestimage.is_built(DEFAULT_PROFILE, cache):
        jobs.append(lambda: guestimage.build(DEFAULT_PROFILE, cache))
    if any(part == CONTROL_PLANE for part in parts) and jobs:
        gotools.find_go()  # may install packages: before the jobs, not beside them
    with ThreadPoolExecutor(max_workers=3) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()


def link_commands(lab: Lab) -> None:
    """Link the built commands into the lab's bin directory; the machine's kubectl goes first."""
    lab.paths.bin.mkdir(parents=True, exist_ok=True)
    for tool in gotools.TOOLS.values():
        for name in tool.commands:
            link = lab.paths.bin / name
            target = lab.paths.cache / tool.cache_key() / name
            if target.exists() and not (name == "kubectl" and shutil.which("kubectl")):
                if link.is_symlink():
                    link.unlink()
                link.symlink_to(target)


def up(lab: Lab, parts: tuple[str, ...]) -> None:
    """Bring the parts up; what runs already is kept, so a second call changes nothing."""
    packages.ensure({*packages.BASE, *(name for part in parts for name in PACKAGES[part])})
    build_all(parts, lab.paths.cache)
    lab.paths.state.mkdir(parents=True, exist_ok=True)
    lab.paths.state.chmod(0o755)  # QEMU's own user passes through
    with step("namespaces, mounts, bridge"):
        namespaces.ensure(lab)
        link_commands(lab)
    if CONTROL_PLANE in parts:
        with step("start etcd, API server, controllers, scheduler"):
            controlplane.start(lab)
    if LIBVIRT in parts:
        with step("libvirtd, network, pool"):
            libvirtd.up(lab)
    if NODE in parts:
        with step("start containerd, import the pause image"):
            node.start_runtime(lab)
    if CONTROL_PLANE in parts:
        with step("API server and controllers answer"):
            controlplane.wait(lab)
    if NODE in parts:
        with step("start kubelet and kube-proxy, node Ready"):
            node.start_agents(lab)
            node.wait(lab)
    if GUESTS in parts:
        with step(f"guest image {DEFAULT_PROFILE}"):
            guestimage.stage(lab, DEFAULT_PROFILE)
    lab.record.components = [part for part in ALL if part in {*parts, *lab.record.components}]
    lab.save()
