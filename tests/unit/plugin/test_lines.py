"""What a terminal shows."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.plugin.objects import condition, replica, vmclone

from vmclone_kubectl import lines

STEPS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "no step": (None, ""),
    "a place in the queue": ({"queuePosition": 3}, "place 3 in the queue"),
    "bytes, speed and time left": (
        {"doneBytes": 100 * 2**20, "totalBytes": 400 * 2**20, "etaSeconds": 150},
        "100 MiB of 400 MiB, 2.0 MiB/s, 2 min left",
    ),
    "a message": ({"message": "scanning"}, "scanning"),
}


@pytest.mark.parametrize(("step", "text"), STEPS.values(), ids=STEPS.keys())
def test_a_running_step_says_what_it_waits_for(step: dict[str, Any] | None, text: str) -> None:
    assert lines.step_note(step) == text


def test_the_table_has_a_line_for_every_row_that_the_vmclone_reports() -> None:
    row = {"ordinal": 1, "session": "dev-1", "state": "Ready", "percent": 100, "address": "10.0.0.7"}
    waits = {"ordinal": 2, "session": "dev-2", "state": "HomeCopy", "percent": 60}
    copying = replica(2, steps=[{"name": "HomeCopy", "state": "Waiting", "queuePosition": 1}])
    table = list(lines.table(lines.replica_lines(vmclone(replicaStatuses=[row, waits]), [copying])))
    assert table == [
        "SESSION  STATE     PROGRESS  ADDRESS   NOTE",
        "dev-1    Ready     100 %     10.0.0.7",
        "dev-2    HomeCopy  60 %      -         place 1 in the queue",
    ]


def test_the_headline_names_the_reason_while_it_is_not_ready() -> None:
    waits = vmclone(condition("Ready", "False", "SourceNotFound"), summary="0/2 ready", progress={"percent": 5})
    assert lines.headline(waits) == "dev: 0/2 ready (5 %) SourceNotFound"
    assert lines.headline({**vmclone(), "status": {}}) == "dev: not seen yet (0 %)"


def test_a_plan_shows_actions_cost_and_what_speaks_against_it() -> None:
    plan = {
        "hash": "ab12",
        "actions": [{"op": "Create", "replica": "dev-2", "why": "ScaleUp"}],
        "estimate": {
            "bytes": 2 * 2**20,
            "seconds": 7300,
            "resources": [
                {"kind": "VirtualMachine", "size": "Standard_D2s_v5", "count": 1},
                {"kind": "Disk", "size": "Premium_LRS 32 GiB", "count": 2},
                {"kind": "NetworkInterface", "size": ""},
            ],
        },
        "blockers": ["the pool has too little room"],
    }
    assert list(lines.plan_lines(vmclone(plan=plan))) == [
        "Create dev-2 (ScaleUp)",
        "about 2 MiB and 2 h 1 min",
        "each clone is VirtualMachine Standard_D2s_v5, 2 x Disk Premium_LRS 32 GiB, NetworkInterface",
        "against it: the pool has too little room",
        "hash ab12",
    ]
    assert list(lines.plan_lines(vmclone())) == ["nothing to do"]
