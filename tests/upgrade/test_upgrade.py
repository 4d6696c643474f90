"""An upgrade from the last release touches no clone: no write at the provider, none at the API server."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from tests.integration.leaders.conftest import Start
from tests.integration.leaders.operators import ROOT, Place
from tests.support.cluster_cli import kubectl, wait_until

WISHES: dict[str, dict[str, Any]] = {
    "linked": {"replicas": 2},
    "full": {"disk": {"copy": "Full"}},
    "off": {"template": {"power": "Off"}},
    "manual": {"plan": {"mode": "Manual"}},
}
SETTLED_SECONDS = 10
LOOKS = ("--resync-seconds", "2", "--relist-seconds", "2")
"""So that many comparisons fit into the seconds that nothing may happen in."""


def install_crds(checkout: Path) -> None:
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(checkout / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(checkout / "crds"))


def is_told(place: Place, name: str) -> bool:
    """Return whether a wish is as far as it comes: ready, or waiting to be approved."""
    replicas = int(WISHES[name].get("replicas", 1))
    waits = kubectl("get", "vmclone", name, "-n", place.users, "-o", "jsonpath={.status.plan.hash}", check=False)
    return bool(waits) if name == "manual" else place.is_ready(name, replicas)


def test_an_upgrade_writes_nothing_and_the_new_operator_goes_on_with_the_clones(
    place: Place, start: Start, earlier: Path
) -> None:
    install_crds(earlier)
    first = start("earlier", checkout=earlier)
    first.wait_for('"leading"')
    for name, wish in WISHES.items():
        place.apply(name, **wish)
    for name in WISHES:
        wait_until(f"{name} is settled", lambda name=name: is_told(place, name), 120)  # type: ignore[misc]
    time.sleep(SETTLED_SECONDS)  # the CloneSource shows how many clones it has
    first.send(signal.SIGTERM)
    wait_until("the earlier operator has ended", first.ended, 30)

    install_crds(ROOT)
    mark, effects = place.audit_log.stat().st_size, place.world["effects"]
    second = start("later", *LOOKS)
    second.wait_for('"leading"')
    time.sleep(SETTLED_SECONDS)
    assert place.writes_of("later", mark) == []
    assert place.world["effects"] == effects

    place.apply("linked", replicas=3)
    wait_until("the later operator makes one more", lambda: place.is_ready("linked", 3), 120)
