"""One truth for five readers: conditions, kstatus, `kubectl wait`, Helm's wait and Argo CD agree on every state."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.truth_table import readers
from tests.integration.truth_table.conftest import Programs, Trial
from tests.integration.truth_table.rows import NOW, ROWS, settled, working

from vmclone_operator.domain.conditions import ConditionWriter, Progress, Readiness

pytestmark = pytest.mark.apiserver
each_row = pytest.mark.parametrize("row", ROWS)

# What the writer is given -> kstatus, Argo CD
OTHER_KINDS = {
    "ready": (settled("Found"), "Current", "Healthy"),
    "at work": (working("BackendUnreachable", "BackendUnreachable"), "InProgress", "Progressing"),
    "needs a person": (
        Readiness(ready=False, reason="SourceNotFound", message="no such VM", progress=Progress.STALLED),
        "Failed",
        "Degraded",
    ),
}


def shown(stored: dict[str, Any], kind: str) -> str:
    found = [c for c in stored["status"].get("conditions", ()) if c["type"] == kind]
    return f"{found[0]['status']}/{found[0]['reason']}" if found else ""


@each_row
def test_the_code_writes_the_conditions_of_the_table(trials: Mapping[str, Trial], row: str) -> None:
    wanted, stored = trials[row].row, trials[row].stored
    assert shown(stored, "Ready") == wanted.ready
    assert shown(stored, "Reconciling").removeprefix("True/") == wanted.reconciling
    assert shown(stored, "Stalled").removeprefix("True/") == wanted.stalled


@each_row
def test_kstatus_agrees(trials: Mapping[str, Trial], programs: Programs, row: str) -> None:
    verdict = readers.kstatus(programs.kstatus, trials[row].stored)
    assert verdict.status == trials[row].row.kstatus, verdict.message


@each_row
def test_argo_cd_agrees(trials: Mapping[str, Trial], row: str) -> None:
    verdict = readers.argo_cd(trials[row].stored)
    assert verdict.status == trials[row].row.argo_cd, verdict.message
    assert trials[row].row.told in verdict.message


@each_row
def test_kubectl_wait_agrees(trials: Mapping[str, Trial], row: str) -> None:
    answer = trials[row].kubectl.result()
    assert (answer.status == 0) is trials[row].row.current, answer.text
    assert trials[row].row.current or "timed out waiting for the condition" in answer.text


@each_row
def test_helm_wait_agrees(trials: Mapping[str, Trial], row: str) -> None:
    wanted, answer = trials[row].row, trials[row].helm.result()
    assert (answer.status == 0) is wanted.current, answer.text
    assert wanted.current or f"status: {wanted.kstatus}" in answer.text
    assert not wanted.settles or "deadline exceeded" not in answer.text, "it says so at once"


@pytest.mark.parametrize("state", OTHER_KINDS)
@pytest.mark.parametrize("kind", ["VMCloneReplica", "CloneSource", "CloneBackend"])
def test_the_same_script_serves_the_other_kinds(programs: Programs, kind: str, state: str) -> None:
    given, kstatus, argo_cd = OTHER_KINDS[state]
    conditions = ConditionWriter(generation=3, now=NOW).put_readiness((), given)
    status = {"observedGeneration": 3, "conditions": [c.model_dump(by_alias=True) for c in conditions]}
    document = {"kind": kind, "apiVersion": "vmclone.dev/v1alpha1", "metadata": {"generation": 3}, "status": status}
    assert readers.kstatus(programs.kstatus, document).status == kstatus
    assert readers.argo_cd(document).status == argo_cd


def test_a_script_that_needs_what_argo_cd_withholds_would_fail(tmp_path: Path) -> None:
    script = tmp_path / "health.lua"
    script.write_text('return { status = "Healthy", message = string.format("%s", obj.kind) }')
    with pytest.raises(subprocess.CalledProcessError):
        readers.argo_cd({"kind": "VMClone"}, script)
