"""`kubectl vmclone plan -f` on a real API server, with a real operator over the fake backend: nothing is left of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.leaders.conftest import Start
from tests.integration.leaders.operators import ROOT, Place
from tests.support.cluster_cli import kubectl, wait_until

SECONDS = 90


def manifest(place: Place, **spec: Any) -> Path:
    """Write a VMClone into a file, as somebody has it in Git."""
    wish = {
        "apiVersion": "vmclone.dev/v1alpha1",
        "kind": "VMClone",
        "metadata": {"name": "dev", "namespace": place.users},
        "spec": {"source": {"name": place.namespace}, "replicas": 2, **spec},
    }
    file = place.folder / "dev.json"
    file.write_text(json.dumps(wish))
    return file


def plan(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "vmclone_kubectl", "plan", "-f", str(file), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS, cwd=ROOT)


def nothing_is_there(place: Place) -> bool:
    return not kubectl("get", "vmclones,vmclonereplicas", "-n", place.users, "-o", "name")


def test_a_manifest_is_planned_by_the_operator_and_nothing_is_left_of_it(place: Place, start: Start) -> None:
    start("planner", "--watch-namespaces", place.users).wait_for('"leading"')
    done = plan(manifest(place))
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert said[:3] == ["dev: the API server accepts it", "Create dev-1 (ScaleUp)", "Create dev-2 (ScaleUp)"]
    assert said[3].startswith("about ")
    wait_until("the trial is gone", lambda: nothing_is_there(place), 30)

    missing = plan(manifest(place, source={"name": "no-such-source"}))
    assert missing.returncode == 1, missing.stdout + missing.stderr
    assert "CloneSource no-such-source does not exist" in missing.stdout
    assert "More: docs/reference/conditions.md#sourcenotfound" in missing.stdout

    place.apply("dev", replicas=2)
    wait_until("dev is ready", lambda: place.is_ready("dev", 2), SECONDS)
    before = place.world["effects"]
    changed = plan(manifest(place, replicas=3))
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert "spec.replicas: 2 -> 3" in changed.stdout
    assert "1 more replicas are made" in changed.stdout
    assert place.is_ready("dev", 2)
    assert place.world["effects"] == before


def test_without_an_operator_the_api_server_judges_and_the_trial_is_taken_back(place: Place) -> None:
    refused = plan(manifest(place, sessionPrefix="NOT_A_NAME"))
    assert refused.returncode == 1
    assert "spec.sessionPrefix" in refused.stderr
    assert nothing_is_there(place)
    silent = plan(manifest(place), "--timeout", "2")
    assert silent.returncode == 124, silent.stdout + silent.stderr
    assert "no operator planned it within 2 s" in silent.stderr
    assert nothing_is_there(place)
