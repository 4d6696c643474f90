"""Argo CD 3.1.16 judges our health script and our actions by its own tests: `hack/test argocd`, by hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.argocd.conftest import SCRIPTS, TESTED, Harness
from tests.integration.truth_table.contribution import FOLDER, HEALTH, KINDS, VMCLONE

GROUP = Path(SCRIPTS) / "vmclone.dev"


def outcome(harness: Harness, test: str, tree: Path) -> subprocess.CompletedProcess[str]:
    argv = [str(harness.program), f"-test.run=^{test}$", "-test.v"]
    return subprocess.run(argv, cwd=tree / TESTED, capture_output=True, text=True, check=False, timeout=120)


def passed(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    return [line for line in lines if line.startswith("--- PASS: ") and "/" in line.split()[2]]


def expected(path: str) -> dict[str, list[dict[str, object]]]:
    tests: dict[str, list[dict[str, object]]] = yaml.safe_load((FOLDER / path).read_text())
    return tests


def test_argo_cd_gives_every_row_of_the_truth_table_its_health_and_message(harness: Harness) -> None:
    done = outcome(harness, "TestLuaHealthScript", harness.tree)
    assert len(passed(done)) == len(expected(f"{HEALTH}/health_test.yaml")["tests"])


def test_argo_cd_offers_and_runs_the_actions(harness: Harness) -> None:
    done = outcome(harness, "TestLuaResourceActionsScript", harness.tree)
    tests = [expected(f"{actions.folder}/action_test.yaml") for actions in KINDS.values()]
    assert len(passed(done)) == sum(len(one["discoveryTests"]) + len(one["actionTests"]) for one in tests)


@pytest.mark.parametrize(
    ("test", "path", "change"),
    [
        pytest.param(
            "TestLuaHealthScript",
            f"{HEALTH}/health_test.yaml",
            ("Degraded", "Healthy"),
            id="another health is refused",
        ),
        pytest.param(
            "TestLuaResourceActionsScript",
            f"{VMCLONE.folder}/testdata/vmclone-paused.yaml",
            ("paused: true", "paused: false"),
            id="another result of an action is refused",
        ),
    ],
)
def test_the_judge_can_say_no(harness: Harness, tmp_path: Path, test: str, path: str, change: tuple[str, str]) -> None:
    shutil.copytree(harness.tree / SCRIPTS, tmp_path / SCRIPTS)
    (tmp_path / TESTED).mkdir(parents=True)
    file = tmp_path / GROUP / path
    text = file.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change))
    assert outcome(harness, test, tmp_path).returncode == 1
