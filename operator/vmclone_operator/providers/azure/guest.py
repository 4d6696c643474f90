"""The guest channel of Azure: one managed run command for each task.

Putting the same content twice runs it once, and a name that was used never runs again, so a run's name is that of
the task. A script gets no standard input there: input and script travel packed in here-documents, whose delimiters
come from a digest. A VM keeps 25 run commands; ours that have ended go before the next is put.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from typing import Any

from azure.core.exceptions import AzureError

from vmclone_operator.domain.backend import CloneRef, GuestResult, GuestRun, GuestRunState, GuestTask
from vmclone_operator.providers.azure.arm import Arm, Json, Kind

RUN = Kind(service="compute", group="virtual_machine_run_commands")
_ENDED = frozenset({"Succeeded", "Failed", "TimedOut", "Canceled"})
_WIDTH = 76
_MOST_KEPT = 3


def packed(script: str, stdin: str) -> str:
    """Return one bash script that runs another with sh, and that input."""
    mark = f"VMCLONE_{hashlib.sha256((script + chr(0) + stdin).encode()).hexdigest()[:16]}"
    return "\n".join(
        (
            "set -eu",
            f"script=$(base64 -d <<'{mark}' | gzip -d",
            _lines(script),
            mark,
            ")",
            f"base64 -d <<'{mark}' | gzip -d | sh -c \"$script\"",
            _lines(stdin),
            mark,
            "",
        )
    )


def _lines(text: str) -> str:
    code = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return "\n".join(code[at : at + _WIDTH] for at in range(0, len(code), _WIDTH))


class Guests:
    """Run commands in the clones of one resource group."""

    def __init__(self, arm: Arm, location: str) -> None:
        self._arm, self._location = arm, location

    async def start(self, ref: CloneRef, task: GuestTask) -> None:
        """Have a task run, unless it was put already."""
        name = run_name(task.run)
        if await self._look(ref, name) is not None:
            return
        if task.replaces and await self._look(ref, run_name(task.replaces)) is not None:
            # One that nobody waits for would keep the agent from taking this one.
            await self._arm.begin(RUN, "begin_delete", ref.vm_name, run_name(task.replaces))
        await self._tidy(ref)
        properties = {
            "source": {"script": packed(task.script, task.stdin)},
            "timeoutInSeconds": task.limit_seconds,
            "asyncExecution": True,
        }
        body = {"location": self._location, "properties": properties}
        await self._arm.begin(RUN, "begin_create_or_update", ref.vm_name, name, body)

    async def result(self, ref: CloneRef, run: str) -> GuestRun:
        """Return how a task stands; one read."""
        found = await self._look(ref, run_name(run))
        if found is None:
            return GuestRun(state=GuestRunState.ABSENT)
        view = found["properties"].get("instanceView") or {}
        if view.get("executionState") not in _ENDED:
            return GuestRun(state=GuestRunState.RUNNING)
        result = GuestResult(
            exit_code=int(view.get("exitCode", -1)),
            stdout=str(view.get("output", "")),
            stderr=str(view.get("error", "")),
        )
        return GuestRun(state=GuestRunState.ENDED, result=result)

    async def _look(self, ref: CloneRef, name: str) -> Json | None:
        runs: Any = self._arm.operations("compute", "virtual_machine_run_commands")
        group = self._arm.group
        return await self._arm.found(
            lambda: runs.get_by_virtual_machine(group, ref.vm_name, name, expand="instanceView")
        )

    async def _tidy(self, ref: CloneRef) -> None:
        """Remove the oldest of our run commands that have ended."""
        runs: Any = self._arm.operations("compute", "virtual_machine_run_commands")
        try:
            names = [str(one.name) async for one in runs.list_by_virtual_machine(self._arm.group, ref.vm_name)]
        except AzureError:
            return  # a list that fails holds up nothing; the put says what is wrong
        ours = [name for name in names if name.startswith("vmclone-")]
        for name in ours[: max(0, len(ours) - _MOST_KEPT)]:
            await self._arm.begin(RUN, "begin_delete", ref.vm_name, name)


def run_name(run: str) -> str:
    """Return the run command's name for a task's run."""
    return f"vmclone-{hashlib.sha256(run.encode()).hexdigest()[:24]}"
