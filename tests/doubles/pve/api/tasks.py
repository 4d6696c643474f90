"""Worker tasks: lists, status, log, stop (recording 05-clone-task-stop)."""

from __future__ import annotations

from typing import Any

from tests.doubles.pve.call import Call, Total, endpoint
from tests.doubles.pve.formats import split_list
from tests.doubles.pve.refusals import wrong
from tests.doubles.pve.tasks import Task, parse
from tests.doubles.pve.timeline import Steps

_LIST_LENGTH = 50
_CLUSTER_LENGTH = 25
"""How many a node tells the others of, whoever asks (recording 09, 74)."""
_STOP_LOOKS = 5
"""Seconds that a stopped worker gets to clean up before SIGKILL; pve-common src/PVE/RESTEnvironment.pm 9.2.1."""


def _found(call: Call, *, privilege: str) -> Task | None:
    """Return the task that the path names; another user's needs a right on the node (recording 09, 53-55)."""
    parts = parse(call.params["upid"])
    if parts[7].split("!")[0] != call.caller.user:
        call.require(f"/nodes/{call.node}", privilege)
    return call.world.tasks.get(call.params["upid"])


@endpoint("GET", "/nodes/{node}/tasks/{upid}/status")
def status(call: Call) -> dict[str, Any]:
    """Return how a task stands."""
    task = _found(call, privilege="Sys.Audit")
    if task is None:
        raise wrong("upid", "no such task")
    row = {**_row(task), "pid": task.pid, "pstart": task.pstart, "status": "running" if task.running else "stopped"}
    if not task.running:
        row["exitstatus"] = task.exit_status.split("\n", maxsplit=1)[0]
    return row


@endpoint("GET", "/nodes/{node}/tasks/{upid}/log")
def log(call: Call) -> Total:
    """Return lines of a task's log; a task that never was is no error here (recording 05, 42)."""
    task = _found(call, privilege="Sys.Audit")
    lines = ["unable to open file - No such file or directory"] if task is None else _lines(task)
    start, limit = call.params.get("start", 0), call.params.get("limit", 50)
    page = lines[start : start + limit] if limit else lines[start:]
    return Total(data=[{"n": start + n, "t": text} for n, text in enumerate(page, 1)], total=len(lines))


def _lines(task: Task) -> list[str]:
    written = [part for line in task.log for part in line.split("\n")]
    return written or ["no content"]


@endpoint("DELETE", "/nodes/{node}/tasks/{upid}")
def stop(call: Call) -> Steps[None]:
    """Stop a worker: it gets five seconds to clean up; one that has ended is stopped already (recording 05, 4-13)."""
    task = _found(call, privilege="Sys.Modify")
    if task is None:
        raise wrong("upid", "no such task")
    call.world.stop_task(task)
    for _ in range(_STOP_LOOKS):
        if not task.running:
            return
        yield 1.0
        call.world.timeline.settle()
    if task.running:
        call.world.kill_task(task.upid)


@endpoint("GET", "/nodes/{node}/tasks")
def of_node(call: Call) -> Total:
    """Return the tasks of a node, the ones that ended last first."""
    params = call.params
    source = params.get("source", "archive")
    found = [task for task in _visible(call) if task.node == call.node]
    if source == "archive":
        found = [task for task in found if not task.running]
    elif source == "active":
        found = [task for task in found if task.running]
    found = [task for task in found if _wanted(task, params)]
    start, limit = params.get("start", 0), params.get("limit", _LIST_LENGTH)
    rows = [_list_row(task) for task in _latest_first(found)]
    return Total(data=rows[start : start + limit] if limit else rows[start:], total=len(rows))


@endpoint("GET", "/cluster/tasks")
def of_cluster(call: Call) -> list[dict[str, Any]]:
    """Return the tasks of every node that began last (recordings 04, 14 and 05, 49)."""
    rows, seen = [], _visible(call)
    told = sorted(call.world.tasks.values(), key=lambda task: task.started, reverse=True)[:_CLUSTER_LENGTH]
    for task in told:
        if task not in seen:
            continue
        row = {**_row(task), "saved": str(int(not task.running))}
        row |= {"pid": task.pid} if task.running else {"endtime": int(task.ended or 0), "status": task.exit_status}
        rows.append(row)
    return rows


def _visible(call: Call) -> list[Task]:
    """Return the tasks that the caller may see: his own, and everybody's with Sys.Audit on the node."""
    seen = {name for name in call.world.nodes if call.may(f"/nodes/{name}", "Sys.Audit")}
    return [t for t in call.world.tasks.values() if t.node in seen or t.user.split("!")[0] == call.caller.user]


def _wanted(task: Task, params: dict[str, Any]) -> bool:
    said = task.exit_status.split(":")[0]
    status = "ok" if said == "OK" else "warning" if said == "WARNINGS" else "error" if said else "unknown"
    return (
        (not params.get("errors") or status in {"error", "unknown"})
        and ("statusfilter" not in params or status in split_list(params["statusfilter"]))
        and str(params.get("vmid", task.subject)) == task.subject
        and params.get("typefilter", task.kind) == task.kind
        and str(params.get("userfilter", "")).lower() in task.user.lower()
        and params.get("since", 0) <= task.started <= params.get("until", task.started)
    )


def _latest_first(tasks: list[Task]) -> list[Task]:
    return sorted(tasks, key=lambda task: (task.running, task.ended or task.started), reverse=True)


def _row(task: Task) -> dict[str, Any]:
    started = {"starttime": int(task.started), "type": task.kind, "id": task.subject, "user": task.user}
    return {"upid": task.upid, "node": task.node, **started}


def _list_row(task: Task) -> dict[str, Any]:
    row = {**_row(task), "pid": task.pid, "pstart": task.pstart}
    if task.running:
        return {**row, "saved": "0", "status": "RUNNING"}
    return {**row, "endtime": int(task.ended or 0), "status": task.exit_status}
