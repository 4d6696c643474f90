"""Every endpoint of Proxmox VE that we call, one method each; nothing else makes a path.

Least privilege, by call, stands in docs/how-to/clone-on-proxmox.md. Parameters are as in the server's own tables
(pve-manager 9.2.11): unknown ones are refused there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmclone_operator.providers.proxmox.client import Client, segment
from vmclone_operator.providers.proxmox.config import Config
from vmclone_operator.providers.proxmox.translate import Kind, Refused

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """How a worker task stands."""

    running: bool
    exit_status: str = ""
    """`OK`, `WARNINGS: n` or the error."""
    kind: str = ""
    ended: bool = False

    @property
    def good(self) -> bool:
        """It ended, and did what it was to do."""
        return not self.running and (self.exit_status == "OK" or self.exit_status.startswith("WARNINGS"))


class Pve:
    """The API of one cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._get = client.get

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()

    async def version(self) -> Row:
        """Return release and version."""
        found: Row = await self._get("/version")
        return found

    async def permissions(self, path: str) -> frozenset[str]:
        """Return what the token may do at a path."""
        found = await self._get("/access/permissions", {"path": path})
        return frozenset(found.get(path, {}))

    async def cluster_status(self) -> Sequence[Row]:
        """Return the nodes, and the cluster with its quorum; asks for Sys.Audit on /."""
        return list(await self._get("/cluster/status"))

    async def guests(self) -> Sequence[Row]:
        """Return every VM and container that the token may see; tags and lock are live, power is 10 s old at most."""
        return list(await self._get("/cluster/resources", {"type": "vm"}))

    async def storages(self, node: str) -> Sequence[Row]:
        """Return the storages of a node with type, content and room."""
        return list(await self._get(f"/nodes/{segment(node)}/storage"))

    async def images(self, node: str, storage: str, vmid: int = 0) -> Sequence[Row]:
        """Return the disks on a storage whose name says that they are this VM's; of every VM where none is named."""
        where = f"/nodes/{segment(node)}/storage/{segment(storage)}/content"
        return list(await self._get(where, {"content": "images", **({"vmid": vmid} if vmid else {})}))

    async def isos(self, node: str, storage: str) -> Sequence[Row]:
        """Return the ISO images on a storage."""
        where = f"/nodes/{segment(node)}/storage/{segment(storage)}/content"
        return list(await self._get(where, {"content": "iso"}))

    async def config(self, node: str, vmid: int) -> Config:
        """Return a VM's config, changes that wait for a restart included."""
        found: Config = await self._get(f"{_vm(node, vmid)}/config")
        return found

    async def current(self, node: str, vmid: int) -> Row:
        """Return a VM's state as it is now."""
        found: Row = await self._get(f"{_vm(node, vmid)}/status/current")
        return found

    async def task(self, upid: str) -> TaskState | None:
        """Return how a task stands; None when the node does not know it (any more)."""
        try:
            row = await self._get(f"{_task(upid)}/status")
        except Refused as refused:
            if refused.kind is Kind.NO_TASK:
                return None
            raise
        running = row.get("status") == "running"
        return TaskState(running=running, exit_status=str(row.get("exitstatus", "")), kind=str(row.get("type", "")))

    async def task_log(self, upid: str) -> Sequence[str]:
        """Return a task's log, at most its first 5000 lines."""
        rows = await self._get(f"{_task(upid)}/log", {"limit": 5000})
        return [str(row["t"]) for row in rows]

    async def tasks(self, node: str, *, kind: str, vmid: int, running: bool = False) -> Sequence[Row]:
        """Return the token's own tasks of a kind at a VM, the latest first."""
        asked = {"typefilter": kind, "vmid": vmid, "source": "active" if running else "all", "limit": 50}
        return list(await self._get(f"/nodes/{segment(node)}/tasks", asked))

    async def active_clones(self, node: str) -> Sequence[Row]:
        """Return the token's own clone tasks that run on a node."""
        asked = {"typefilter": "qmclone", "source": "active", "limit": 50}
        return list(await self._get(f"/nodes/{segment(node)}/tasks", asked))

    async def nodes(self) -> Sequence[Row]:
        """Return the nodes with whether they are online."""
        return list(await self._get("/nodes"))

    async def stop_task(self, upid: str) -> None:
        """Tell a task to stop; it cleans up afterwards."""
        await self._client.write("DELETE", _task(upid))

    async def clone(self, node: str, vmid: int, parameters: Mapping[str, object]) -> str:
        """Begin a clone; return its task."""
        return str(await self._client.write("POST", f"{_vm(node, vmid)}/clone", parameters))

    async def template(self, node: str, vmid: int) -> str:
        """Begin to make a template of a VM; return its task."""
        return str(await self._client.write("POST", f"{_vm(node, vmid)}/template"))

    async def set_config(self, node: str, vmid: int, parameters: Mapping[str, object]) -> None:
        """Change a config in the call; a change that fails may be half done."""
        await self._client.write("PUT", f"{_vm(node, vmid)}/config", parameters)

    async def resize(self, node: str, vmid: int, parameters: Mapping[str, object]) -> str:
        """Begin to grow a disk; return its task, which older releases do not make: empty then, and it is done."""
        return str(await self._client.write("PUT", f"{_vm(node, vmid)}/resize", parameters) or "")

    async def start(self, node: str, vmid: int) -> str:
        """Begin to switch a VM on."""
        return str(await self._client.write("POST", f"{_vm(node, vmid)}/status/start"))

    async def stop(self, node: str, vmid: int) -> str:
        """Begin to switch a VM off, whatever its guest says."""
        return str(await self._client.write("POST", f"{_vm(node, vmid)}/status/stop"))

    async def shutdown(self, node: str, vmid: int, seconds: int) -> str:
        """Begin to ask a guest to end; after so many seconds it is switched off."""
        asked = {"timeout": seconds, "forceStop": 1}
        return str(await self._client.write("POST", f"{_vm(node, vmid)}/status/shutdown", asked))

    async def destroy(self, node: str, vmid: int) -> str:
        """Begin to remove a VM with its disks, and what names it in backup jobs, replication and HA."""
        return str(await self._client.write("DELETE", _vm(node, vmid), {"purge": 1}))

    async def exec(self, node: str, vmid: int, command: Sequence[str], stdin: str = "") -> int:
        """Start a command in a guest; return its process id there."""
        asked: dict[str, object] = {"command": list(command)}
        if stdin:
            asked["input-data"] = stdin
        answer = await self._client.write("POST", f"{_vm(node, vmid)}/agent/exec", asked)
        return int(answer["pid"])

    async def exec_status(self, node: str, vmid: int, pid: int) -> Row:
        """Return how a command stands; its output comes once only."""
        found: Row = await self._get(f"{_vm(node, vmid)}/agent/exec-status", {"pid": pid})
        return found

    async def interfaces(self, node: str, vmid: int) -> Sequence[Row]:
        """Return a guest's network as its agent tells it."""
        found = await self._get(f"{_vm(node, vmid)}/agent/network-get-interfaces")
        rows = found.get("result", ())
        return list(rows) if isinstance(rows, list) else []

    async def fsfreeze(self, node: str, vmid: int, what: str) -> Any:  # noqa: ANN401 - the agent's own answer
        """Ask for `status`, or `thaw`; a thaw happens whoever leads."""
        answer = await self._client.write("POST", f"{_vm(node, vmid)}/agent/fsfreeze-{what}", fenced=False)
        return answer.get("result")

    async def upload_iso(self, node: str, storage: str, name: str, content: bytes) -> str:
        """Begin to put an ISO image on a storage; one of that name is overwritten."""
        where = f"/nodes/{segment(node)}/storage/{segment(storage)}/upload"
        return str(await self._client.write("POST", where, {"content": "iso"}, upload=(name, content)))

    async def free(self, node: str, volume: str) -> None:
        """Remove a volume that no VM has."""
        storage = volume.partition(":")[0]
        where = f"/nodes/{segment(node)}/storage/{segment(storage)}/content/{segment(volume)}"
        await self._client.write("DELETE", where)


def _vm(node: str, vmid: int) -> str:
    return f"/nodes/{segment(node)}/qemu/{vmid}"


def _task(upid: str) -> str:
    return f"/nodes/{segment(node_of(upid))}/tasks/{segment(upid)}"


def node_of(upid: str) -> str:
    """Return the node that a task runs on."""
    return upid.split(":")[1] if upid.startswith("UPID:") else ""
