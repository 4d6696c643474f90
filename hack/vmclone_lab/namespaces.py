"""Makes the lab's network and mount namespaces, and takes them away.

Why a private mount namespace too: libvirt, containerd and the kubelet keep files at fixed
places of the machine. Inside the lab those places are directories of the lab's state, so
the machine's own daemons are never touched, and mounts that pods need vanish with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vmclone_lab import layout, processes
from vmclone_lab.commands import attempt, run
from vmclone_lab.errors import LabError
from vmclone_lab.progress import wait_for

if TYPE_CHECKING:
    from vmclone_lab.lab import Lab

HOLDER = "namespace-holder"
SYSCTLS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def enter_argv(netns_file: Path, holder_pid: int, *, working_directory: str = "/") -> list[str]:
    """Return the words that put before a command run it inside the lab, as the same pid."""
    return [
        "nsenter",
        f"--net={netns_file}",
        f"--mount=/proc/{holder_pid}/ns/mnt",
        f"--wdns={working_directory}",
        "--",
    ]


def ensure(lab: Lab) -> None:
    """Make both namespaces with their mounts and the node's bridge; keep what is there."""
    _ensure_network_namespace(lab)
    if not lab.is_running(HOLDER):
        _start_holder(lab)
    present = [name for name in layout.OPTIONAL_DIRECTORIES if Path(name).exists()]
    for directory in (*layout.PRIVATE_DIRECTORIES, *present):
        _cover(lab, directory)
    _ensure_own_sysfs(lab)
    _ensure_node_bridge(lab)


def _ensure_network_namespace(lab: Lab) -> None:
    if attempt(["ip", "netns", "exec", lab.paths.name, "true"]).returncode != 0:
        lab.paths.netns_file.unlink(missing_ok=True)
        run(["ip", "netns", "add", lab.paths.name])


def _start_holder(lab: Lab) -> None:
    remember_sysctls(lab)
    unshare = ["unshare", "--mount", "--propagation", "slave", "sleep", "infinity"]
    argv = ["nsenter", f"--net={lab.paths.netns_file}", "--", *unshare]
    lab.start_bare(HOLDER, argv)
    pid = lab.record.processes[HOLDER].pid
    ours = str(Path("/proc/self/ns/mnt").readlink())
    wait_for("the mount namespace", lambda: _mount_namespace(pid) not in (ours, None), 10)
    # Shared below the lab, still deaf towards the machine: the kubelet wants it.
    lab.run_inside(["mount", "--make-rshared", "/"])


def _mount_namespace(pid: int) -> str | None:
    try:
        name = (Path("/proc") / str(pid) / "comm").read_text().strip()
        return str(Path(f"/proc/{pid}/ns/mnt").readlink()) if name == "sleep" else None
    except (FileNotFoundError, ProcessLookupError):
        return None


def mount_points(pid: int | str) -> set[str]:
    """Return the mount points that the process ("self": this one) sees."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines}


def _cover(lab: Lab, directory: str) -> None:
    cover = lab.paths.private(directory)
    cover.mkdir(parents=True, exist_ok=True)
    cover.chmod(0o755)
    target = Path(directory)
    if not target.exists():
        missing = [path for path in (target, *target.parents) if not path.exists()]
        lab.remember_directories([str(path) for path in missing])
        target.mkdir(parents=True)
    real = str(target.resolve())
    if real not in mount_points(lab.holder_pid):
        lab.run_inside(["mount", "--bind", str(cover), real])


def _ensure_own_sysfs(lab: Lab) -> None:
    """Show the network devices of the lab under /sys, and keep the machine's cgroups there."""
    marker = lab.paths.state / "private" / "cgroup"
    if str(marker) in mount_points(lab.holder_pid):
        return
    marker.mkdir(parents=True, exist_ok=True)
    lab.run_inside(["mount", "--rbind", "/sys/fs/cgroup", str(marker)])
    lab.run_inside(["mount", "-t", "sysfs", "sysfs", "/sys"])
    lab.run_inside(["mount", "--rbind", str(marker), "/sys/fs/cgroup"])


def _ensure_node_bridge(lab: Lab) -> None:
    lab.run_inside(["ip", "link", "set", "lo", "up"])
    bridge = layout.NODE_BRIDGE
    if lab.attempt_inside(["ip", "link", "show", bridge]).returncode != 0:
        lab.run_inside(["ip", "link", "add", bridge, "type", "bridge"])
    address = f"{layout.NODE_ADDRESS}/{layout.NODE_PREFIX}"
    lab.run_inside(["ip", "address", "replace", address, "dev", bridge])
    lab.run_inside(["ip", "link", "set", bridge, "up"])
    lab.run_inside(["ip", "route", "replace", "default", "dev", bridge])
    lab.run_inside(["tee", "/proc/sys/net/ipv4/ip_forward"], input_text="1\n")


def remember_sysctls(lab: Lab) -> None:
    """Note the machine-wide settings that the kubelet will change."""
    for name in SYSCTLS:
        path = Path("/proc/sys") / name
        if name not in lab.record.sysctls and path.exists():
            lab.record.sysctls[name] = path.read_text().strip()
    lab.save()


def restore_sysctls(lab: Lab) -> None:
    """Put back what `remember_sysctls` noted."""
    for name, value in lab.record.sysctls.items():
        path = Path("/proc/sys") / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value + "\n")


def remove(lab: Lab) -> None:
    """Remove the network namespace and the directories made on the machine."""
    if lab.paths.netns_file.exists():
        leftover = processes.pids_in_netns(lab.paths.netns_file)
        if leftover:
            raise LabError(f"processes {leftover} in the lab's network namespace do not end")
        if attempt(["ip", "netns", "delete", lab.paths.name]).returncode != 0:
            lab.paths.netns_file.unlink(missing_ok=True)
    for directory in lab.record.created_directories:
        path = Path(directory)
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    restore_sysctls(lab)
