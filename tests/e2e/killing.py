"""SIGKILL at every turn of a replica's life, and as its source's freeze is intended."""

from __future__ import annotations

import json
import subprocess
import time

from tests.e2e.cluster import Document, state_of
from tests.e2e.operator_run import Operator
from tests.e2e.watching import Watch

_LIFE_SECONDS = 400
_LOOK_SECONDS = 4


def kill_at_every_step(operator: Operator, watch: Watch, name: str, source: str) -> list[str]:
    """Kill and restart the operator at each moment of the replica's life; return the moments."""
    moments: list[str] = []
    for change in watch.changes(_LIFE_SECONDS, f"{name}-1 Ready"):
        moment = _moment(change, name, moments)
        if not moment or moment in moments:
            continue
        if moment == "freeze intended again" and not _guest_is_frozen(source):
            moment = "freeze missed"
        operator.kill()
        moments.append(moment)
        operator.start()
        if moment == "Ready":
            return moments
    raise AssertionError("unreachable: `changes` fails by itself")


def _moment(change: Document, name: str, moments: list[str]) -> str:
    """Return what a change says of this VMClone's life; empty for nothing new."""
    status = change.get("status") or {}
    if change["metadata"]["name"] == f"{name}-1":
        return state_of(change)
    points = status.get("frozenPoints", []) if change["metadata"]["name"] == name else []
    if not points:
        return ""
    if points[-1].get("frozenTime"):
        return "frozen"
    if "freeze intended" not in moments:
        return "freeze intended"
    return "" if "freeze missed" in moments else "freeze intended again"


def _guest_is_frozen(source: str) -> bool:
    """Watch the guest's freeze status for a while; true as soon as it is frozen."""
    ask = ["virsh", "qemu-agent-command", "--timeout", "2", source, json.dumps({"execute": "guest-fsfreeze-status"})]
    deadline = time.monotonic() + _LOOK_SECONDS
    while time.monotonic() < deadline:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False)
        if answer.returncode == 0 and json.loads(answer.stdout)["return"] == "frozen":
            return True
    return False
