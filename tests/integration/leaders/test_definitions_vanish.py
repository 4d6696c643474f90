"""The definitions of our kinds are deleted under a running operator: it ends with a sentence, not with a traceback."""

from __future__ import annotations

import pytest
from tests.integration.leaders.conftest import Start
from tests.integration.leaders.operators import ROOT
from tests.support.cluster_cli import kubectl, wait_until

ENDED_SECONDS = 180
"""Also for one that waits a minute for another installation, which seems to live, before it begins."""


@pytest.mark.parametrize(
    ("so_far", "relist_seconds"),
    [
        pytest.param('"leading"', 10, id="seen by a list or by a watch"),
        pytest.param('"leading"', 600, id="seen by a watch alone"),
        pytest.param("waiting for the lease", 10, id="before the first list"),
    ],
)
def test_an_operator_whose_kinds_vanish_ends_and_says_what_to_run(
    start: Start, so_far: str, relist_seconds: int
) -> None:
    first = start("first", "--relist-seconds", str(relist_seconds))
    first.wait_for(so_far)
    try:
        kubectl("delete", "crd", "vmclonereplicas.vmclone.dev", "--timeout=30s")
        wait_until("it has ended", first.ended, ENDED_SECONDS)
    finally:
        kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
        kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    said = first.last_words()
    assert "CustomResourceDefinition vmclonereplicas.vmclone.dev is not installed" in said
    assert "kubectl apply --server-side --force-conflicts -f crds/" in said
    assert "Traceback" not in said
    assert "exit status 1" in said
