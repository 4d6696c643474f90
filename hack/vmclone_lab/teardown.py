"""Takes the lab away: every process, mount, namespace, cgroup and file, from any half state."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from vmclone_lab import namespaces, node, processes
from vmclone_lab.errors import LabError
from vmclone_lab.progress import say, step, wait_for

if TYPE_CHECKING:
    from vmclone_lab.lab import Lab

ROUNDS = 5


def down(lab: Lab) -> None:
    """End what runs, then remove what is left; a second call finds nothing to do."""
    paths = lab.paths
    if not paths.state.exists() and not paths.netns_file.exists():
        say("the lab is down already")
        return
    with step("end all processes of the lab"):
        _end_processes(lab)
    with step("remove namespaces, cgroups, files"):
        node.remove_cgroup(paths)
        namespaces.remove(lab)
        if paths.state.exists():
            _refuse_mounts(lab)
            shutil.rmtree(paths.state)


def _end_processes(lab: Lab) -> None:
    """Agents first, so that nothing restarts what is ended after them."""
    order = [name for name in lab.record.processes if name != namespaces.HOLDER]
    agents = [name for name in (node.KUBELET, node.PROXY) if name in order]
    processes.end([lab.record.processes[name] for name in agents])
    for _ in range(ROUNDS):
        pods = processes.pids_in_cgroups(processes.cgroup_directories(lab.paths.name))
        inside = processes.pids_in_netns(lab.paths.netns_file)
        found = processes.identify({*pods, *inside})
        recorded = [p for p in lab.record.processes.values() if processes.is_alive(p)]
        if not found and not recorded:
            return
        # No grace: nothing of the lab is worth saving, and guests ignore a polite signal.
        processes.end([*found, *recorded], term_seconds=0.3)
    raise LabError("some processes of the lab do not end; run `hack/lab down` again")


def _refuse_mounts(lab: Lab) -> None:
    """Never delete through a mount: wait until none is left below the state."""
    prefix = str(lab.paths.state) + "/"

    def free() -> bool:
        points = namespaces.mount_points("self")
        return not any(point.startswith(prefix) for point in points)

    wait_for(f"the end of mounts below {prefix}", free, 10)
