"""The commands of the documentation, run in the order of their pages beside the demo's clones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.story import Demo
from tests.support.cluster_cli import kubectl
from tests.support.doc_commands import ROOT, commands_of, run_as_typed

TUTORIAL = ROOT / "docs/tutorials/first-clones.md"
HOW_TO = [ROOT / "docs/how-to" / name for name in ("add-a-backend.md", "add-a-source.md")]
MADE = ("hv1-client", "golden-dev-home")


@pytest.fixture
def files(lab_status: dict[str, Any], tmp_path: Path) -> Iterator[Path]:
    """A folder with the files that a platform team has at hand; the Secrets made from them go again."""
    pki = Path(lab_status["libvirt"]["clientPKI"])
    for name, file in {"tls.crt": "clientcert.pem", "tls.key": "clientkey.pem", "ca.crt": "cacert.pem"}.items():
        shutil.copy(pki / file, tmp_path / name)
    yield tmp_path
    kubectl("-n", "vmclone-system", "delete", "secret", *MADE, "--ignore-not-found")


@pytest.fixture(scope="module")
def lab_status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_as_typed("hack/lab status --json"))
    return found


def test_the_tutorial_can_be_followed_after_the_demo(demo: Demo) -> None:
    assert "== the receipts" in demo.output
    told = {command: run_as_typed(command) for command in commands_of(TUTORIAL) if "hack/demo" not in command}
    receipt = next(json.loads(text) for command, text in told.items() if "homeCopy" in command)
    assert receipt["files"] > 0
    assert receipt["excluded"]


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_commands_of_a_how_to_work(demo: Demo, files: Path, page: Path) -> None:
    assert demo.vmclone
    for command in commands_of(page):
        run_as_typed(command, folder=files)
