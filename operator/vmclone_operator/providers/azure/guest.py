"""The guest channel of Azure: one managed run command for each task.

Putting the same content twice runs it once, and a name that was used never runs again, so a run's name is that of
the task. A script gets no standard input there: input and script travel packed in here-documents, whose delimiters
come from a digest. A VM keeps 25 run commands; near that, the oldest of ours that ended go before the next is put.

Azure says for ever of a run command that it runs when its VM went down with it, and the agent then takes no other. So
one that is past its own time limit is given up, whatever it is for, and goes before the next is put. Both times are
Azure's: that of the answer, and when the run began, or was put while the agent did not take it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.exceptions import AzureError

from vmclone_operator.domain.backend import CloneRef, GuestResult, GuestRun, GuestRunState, GuestTask
from vmclone_operator.providers.azure.arm import Arm, Json, Kind, Sdk

RUN = Kind(service="compute", group="virtual_machine_run_commands")
_ENDED = frozenset({"Succeeded", "Failed", "TimedOut", "Canceled"})
_WIDTH = 76
_MOST_KEPT = 20
"""Of the 25, all that others put counted in. What a ledger waits for is among the newest: one clone has one task."""
_GRACE_SECONDS = 300
_PUT = "vmclone-put"
"""A tag of each run command: when it was put."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """A run command as one look shows it."""

    found: Json | None
    now: str
    """When Azure answered, in ISO 8601; empty when it did not say."""

    @property
    def view(self) -> Json:
        """Return what it says of its run."""
        return (self.found or {}).get("properties", {}).get("instanceView") or {}

    @property
    def ended(self) -> bool:
        return self.view.get("executionState") in _ENDED

    @property
    def began(self) -> str:
        """Return when it began, or was put; empty when nobody says."""
        return str(self.view.get("startTime") or ((self.found or {}).get("tags") or {}).get(_PUT, ""))

    @property
    def lost(self) -> bool:
        """Return whether it should have ended long ago: Azure itself ends a run at its limit."""
        if self.found is None or self.ended or not self.began or not self.now:
            return False
        limit = int(self.found["properties"].get("timeoutInSeconds") or 0) + _GRACE_SECONDS
        return (_time(self.now) - _time(self.began)).total_seconds() > limit


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


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
        self._ended: dict[tuple[str, str], str] = {}
        """VM and name of run commands that were seen ended, and when they began: they are not looked at again."""

    async def start(self, ref: CloneRef, task: GuestTask) -> None:
        """Have a task run, unless it was put already."""
        name = run_name(task.run)
        look = await self._look(ref, name)
        if look.found is not None:
            return
        if task.replaces and (await self._look(ref, run_name(task.replaces))).found is not None:
            # One that nobody waits for would keep the agent from taking this one.
            await self._arm.begin(RUN, "begin_delete", ref.vm_name, run_name(task.replaces))
        await self._make_way(ref)
        properties = {
            "source": {"script": packed(task.script, task.stdin)},
            "timeoutInSeconds": task.limit_seconds,
            "asyncExecution": True,
        }
        body = {"location": self._location, "properties": properties, "tags": {_PUT: look.now} if look.now else {}}
        await self._arm.begin(RUN, "begin_create_or_update", ref.vm_name, name, body)

    async def result(self, ref: CloneRef, run: str) -> GuestRun:
        """Return how a task stands; one read. One that should have ended long ago has ended without an answer."""
        look = await self._look(ref, run_name(run))
        if look.found is None:
            return GuestRun(state=GuestRunState.ABSENT)
        if look.lost:
            return GuestRun(state=GuestRunState.ENDED, result=_given_up(look))
        if not look.ended:
            return GuestRun(state=GuestRunState.RUNNING)
        view = look.view
        result = GuestResult(
            exit_code=int(view.get("exitCode", -1)),
            stdout=str(view.get("output", "")),
            stderr=str(view.get("error", "")),
        )
        return GuestRun(state=GuestRunState.ENDED, result=result)

    async def _look(self, ref: CloneRef, name: str) -> _Look:
        runs: Any = self._arm.operations("compute", "virtual_machine_run_commands")
        group = self._arm.group
        dates: list[str] = []

        def keep(response: Sdk) -> None:
            dates.append(response.http_response.headers.get("Date", ""))

        found = await self._arm.found(
            lambda: runs.get_by_virtual_machine(group, ref.vm_name, name, expand="instanceView", raw_response_hook=keep)
        )
        return _Look(found=found, now=parsedate_to_datetime(dates[-1]).isoformat() if any(dates[-1:]) else "")

    async def _make_way(self, ref: CloneRef) -> None:
        """Remove ours that are given up, and near Azure's limit the oldest of ours that ended; never one that runs."""
        runs: Any = self._arm.operations("compute", "virtual_machine_run_commands")
        try:
            names = [str(one.name) async for one in runs.list_by_virtual_machine(self._arm.group, ref.vm_name)]
        except AzureError:
            return  # a list that fails holds up nothing; the put says what is wrong
        ours = [name for name in names if name.startswith("vmclone-")]
        ended = await self._ended_of(ref, ours)
        for name in ended[: max(0, len(names) - _MOST_KEPT + 1)]:
            await self._arm.begin(RUN, "begin_delete", ref.vm_name, name)
            self._ended.pop((ref.vm_name, name), None)

    async def _ended_of(self, ref: CloneRef, names: Sequence[str]) -> list[str]:
        """Return which of these have ended, the oldest first; one that is given up is removed here."""
        known = {name: self._ended[ref.vm_name, name] for name in names if (ref.vm_name, name) in self._ended}
        for name in (one for one in names if one not in known):
            look = await self._look(ref, name)
            if look.lost:
                await self._arm.begin(RUN, "begin_delete", ref.vm_name, name)
            elif look.ended:
                known[name] = self._ended[ref.vm_name, name] = look.began
        return sorted(known, key=lambda name: known[name])


def _given_up(look: _Look) -> GuestResult:
    did = "ran" if look.view.get("startTime") else "was not taken by Azure's agent"
    told = f"nothing was heard of it: it {did} since {look.began}; its VM may have been restarted in the middle of it"
    return GuestResult(exit_code=-1, stdout="", stderr=told)


def run_name(run: str) -> str:
    """Return the run command's name for a task's run."""
    return f"vmclone-{hashlib.sha256(run.encode()).hexdigest()[:24]}"
