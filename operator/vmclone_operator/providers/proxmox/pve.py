"""Every endpoint of Proxmox VE that we call, one method each; nothing else makes a path.

Least privilege, by call, stands in docs/how-to/clone-on-proxmox.md. Parameters are as in the server's own tables
(pve-manager 9.2.11): unknown ones are refused there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmclone_operator.providers.proxmox import answers
from vmclone_operator.providers.proxmox.answers import Row
from vmclone_operator.providers.proxmox.client import Client, Parameters, segment
from vmclone_operator.providers.proxmox.config import Config
from vmclone_operator.providers.proxmox.translate import Kind, Refused


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


_PAGE_LINES = 5000
_MOST_PAGES = 100


class Pve:
    """The API of one cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._get = client.get

    async def _rows(self, path: str, parameters: Parameters | None = None) -> list[Row]:
        return answers.rows(f"GET {path}", await self._get(path, parameters))

    async def _row(self, path: str, parameters: Parameters | None = None) -> Row:
        return answers.row(f"GET {path}", await self._get(path, parameters))

    async def _begun(self, method: str, path: str, parameters: Parameters | None = None) -> str:
        """Begin a task; return its id, or nothing where the answer has none: then it is looked for."""
        return answers.upid(await self._client.write(method, path, parameters))

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()

    async def version(self) -> Row:
        """Return release and version."""
        return await self._row("/version")

    async def permissions(self, path: str) -> frozenset[str]:
        """Return what the token may do at a path."""
        found = await self._get("/access/permissions", {"path": path})
        return frozenset(answers.part(answers.row("GET /access/permissions", found or {}).get(path)))

    async def cluster_status(self) -> Sequence[Row]:
        """Return the nodes, and the cluster with its quorum; asks for Sys.Audit on /."""
        return await self._rows("/cluster/status")

    async def guests(self) -> Sequence[Row]:
        """Return every VM and container that the token may see; tags and lock are live, power is 10 s old at most."""
        return answers.placed(await self._rows("/cluster/resources", {"type": "vm"}))

    async def storages(self, node: str) -> Sequence[Row]:
        """Return the storages of a node with type, content and room."""
        return answers.named(await self._rows(f"/nodes/{segment(node)}/storage"), "storage")

    async def images(self, node: str, storage: str, vmid: int = 0) -> Sequence[Row]:
        """Return the disks on a storage whose name says that they are this VM's; of every VM where none is named."""
        where = f"/nodes/{segment(node)}/storage/{segment(storage)}/content"
        asked = {"content": "images", **({"vmid": vmid} if vmid else {})}
        return answers.named(await self._rows(where, asked), "volid")

    async def isos(self, node: str, storage: str) -> Sequence[Row]:
        """Return the ISO images on a storage."""
        where = f"/nodes/{segment(node)}/storage/{segment(storage)}/content"
        return answers.named(await self._rows(where, {"content": "iso"}), "volid")

    async def config(self, node: str, vmid: int) -> Config:
        """Return a VM's config, changes that wait for a restart included."""
        path = f"{_vm(node, vmid)}/config"
        return answers.config(f"GET {path}", await self._get(path))

    async def current(self, node: str, vmid: int) -> Row:
        """Return a VM's state as it is now."""
        return await self._row(f"{_vm(node, vmid)}/status/current")

    async def managed_by_ha(self, node: str, vmid: int) -> bool:
        """Tell whether HA looks after a VM's id; also where that is said in another form than the known one."""
        said = (await self.current(node, vmid)).get("ha")
        return answers.flag(said.get("managed") if isinstance(said, dict) else said)

    async def task(self, upid: str) -> TaskState | None:
        """Return how a task stands; None when the node does not know it (any more)."""
        try:
            row = await self._row(f"{_task(upid)}/status")
        except Refused as refused:
            if refused.kind is Kind.NO_TASK:
                return None
            raise
        running = row.get("status") == "running"
        return TaskState(running=running, exit_status=str(row.get("exitstatus", "")), kind=str(row.get("type", "")))

    async def task_log(self, upid: str) -> Sequence[str]:
        """Return a task's log to its end: a line that decides may be the last of very many."""
        lines: list[str] = []
        for _ in range(_MOST_PAGES):
            page = await self.task_log_from(upid, len(lines))
            lines += page
            if len(page) < _PAGE_LINES:
                break
        return lines

    async def task_log_from(self, upid: str, first: int, count: int = _PAGE_LINES) -> Sequence[str]:
        """Return the next lines of a task's log, the first one counted as 0."""
        page = await self._rows(f"{_task(upid)}/log", {"start": first, "limit": count})
        lines = [str(row.get("t", "")) for row in page]
        return [] if lines == ["no content"] else lines  # what the server says of a log that is empty yet

    async def tasks(self, node: str, *, kind: str, vmid: int, running: bool = False) -> Sequence[Row]:
        """Return the token's own tasks of a kind at a VM, the latest first."""
        asked = {"typefilter": kind, "vmid": vmid, "source": "active" if running else "all", "limit": 50}
        return await self._task_rows(node, asked)

    async def active_clones(self, node: str) -> Sequence[Row]:
        """Return the token's own clone tasks that run on a node."""
        asked = {"typefilter": "qmclone", "source": "active", "limit": 50}
        return await self._task_rows(node, asked)

    async def _task_rows(self, node: str, asked: Parameters) -> Sequence[Row]:
        rows = answers.named(await self._rows(f"/nodes/{segment(node)}/tasks", asked), "upid")
        return [row for row in rows if answers.upid(row["upid"]) and answers.is_asked_for(row, asked)]

    async def nodes(self) -> Sequence[Row]:
        """Return the nodes with whether they are online."""
        return answers.named(await self._rows("/nodes"), "node")

    async def stop_task(self, upid: str) -> None:
        """Tell a task to stop; it cleans up afterwards."""
        await self._client.write("DELETE", _task(upid))

    async def clone(self, node: str, vmid: int, parameters: Mapping[str, object]) -> str:
        """Begin a clone; return its task."""
        return await self._begun("POST", f"{_vm(node, vmid)}/clone", parameters)

    async def template(self, node: str, vmid: int) -> str:
        """Begin to make a template of a VM; return its task."""
        return await self._begun("POST", f"{_vm(node, vmid)}/template")

    async def set_config(self, node: str, vmid: int, parameters: Mapping[str, object]) -> None:
        """Change a config in the call; a change that fails may be half done."""
        known = {name: value for name, value in parameters.items() if (name, value) != ("digest", "")}
        await self._client.write("PUT", f"{_vm(node, vmid)}/config", known)

    async def resize(self, node: str, vmid: int, parameters: Mapping[str, object]) -> str:
        """Begin to grow a disk; return its task, which older releases do not make: empty then, and it is done."""
        return await self._begun("PUT", f"{_vm(node, vmid)}/resize", parameters)

    async def start(self, node: str, vmid: int) -> str:
        """Begin to switch a VM on."""
        return await self._begun("POST", f"{_vm(node, vmid)}/status/start")

    async def stop(self, node: str, vmid: int) -> str:
        """Begin to switch a VM off, whatever its guest says."""
        return await self._begun("POST", f"{_vm(node, vmid)}/status/stop")

    async def shutdown(self, node: str, vmid: int, seconds: int) -> str:
        """Begin to ask a guest to end; after so many seconds it is switched off."""
        asked = {"timeout": seconds, "forceStop": 1}
        return await self._begun("POST", f"{_vm(node, vmid)}/status/shutdown", asked)

    async def destroy(self, node: str, vmid: int) -> str:
        """Begin to remove a VM with its disks, and what names it in backup jobs, replication and HA."""
        return await self._begun("DELETE", _vm(node, vmid), {"purge": 1})

    async def exec(self, node: str, vmid: int, command: Sequence[str], stdin: str = "") -> int:
        """Start a command in a guest; return its process id there."""
        asked: dict[str, object] = {"command": list(command)}
        if stdin:
            asked["input-data"] = stdin
        answer = await self._client.write("POST", f"{_vm(node, vmid)}/agent/exec", asked)
        return answers.number(answers.row("agent/exec", answer).get("pid"))

    async def exec_status(self, node: str, vmid: int, pid: int) -> Row:
        """Return how a command stands; its output comes once only."""
        return await self._row(f"{_vm(node, vmid)}/agent/exec-status", {"pid": pid})

    async def interfaces(self, node: str, vmid: int) -> Sequence[Row]:
        """Return a guest's network as its agent tells it: whatever that is."""
        return answers.parts((await self._row(f"{_vm(node, vmid)}/agent/network-get-interfaces")).get("result"))

    async def fsfreeze(self, node: str, vmid: int, what: str) -> Any:  # noqa: ANN401 - the agent's own answer
        """Ask for `status`, or `thaw`; a thaw happens whoever leads."""
        answer = await self._client.write("POST", f"{_vm(node, vmid)}/agent/fsfreeze-{what}", fenced=False)
        return answer.get("result") if isinstance(answer, dict) else None

    async def upload_iso(self, node: str, storage: str, name: str, content: bytes) -> str:
        """Begin to put an ISO image on a storage; one of that name is overwritten."""
        where = f"/nodes/{segment(node)}/storage/{segment(storage)}/upload"
        return answers.upid(await self._client.write("POST", where, {"content": "iso"}, upload=(name, content)))

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
