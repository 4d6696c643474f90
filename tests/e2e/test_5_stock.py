"""A guest as a distribution ships it: it waits for the network at boot, and quarantine gives it none."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cluster import (
    REPLICAS,
    VMCLONES,
    Document,
    apply,
    delete,
    find,
    replicas_of,
    wait_ready,
    wait_until,
)
from tests.e2e.figures import tell
from tests.e2e.machines import identity, login_to_clone, login_to_source
from tests.e2e.operator_run import Operator
from tests.e2e.story import StockBoot
from tests.e2e.wishes import clone_source, vmclone
from tests.support.cluster_cli import kubectl

pytestmark = [pytest.mark.guest, pytest.mark.by_hand]  # a stock guest is reset in every run by tests/integration/guest
STOCK = "golden-stock"
_WAITER = "systemd-networkd-wait-online.service"


@pytest.fixture(scope="module")
def stock(stock_boot: StockBoot, operator: Operator) -> dict[str, Any]:
    """The facts of the stock source, one Ready clone of it."""
    facts = stock_boot.facts()
    assert operator.is_running()
    key = Path(facts["keyFile"] + ".pub").read_text().strip()
    apply(clone_source(STOCK, backend="lab", key=key), vmclone("stock", source=STOCK))
    wait_ready("stock", 400)
    return {**facts, "replica": replicas_of("stock")[0]}


def test_a_stock_guest_becomes_a_clone_of_its_own(stock: dict[str, Any]) -> None:
    replica: Document = stock["replica"]
    source = identity(STOCK, login_to_source(stock))
    clone = identity(replica["status"]["intent"]["vmName"], login_to_clone(replica, stock))
    for part, value in source.unique_parts().items():
        assert clone.unique_parts()[part] != value, part


def test_a_quarantined_boot_does_not_wait_two_minutes_for_the_network(stock: dict[str, Any]) -> None:
    boot = next(step for step in stock["replica"]["status"]["steps"] if step["name"] == "Boot")
    begun, ended = (datetime.fromisoformat(boot[key]) for key in ("startTime", "completionTime"))
    seconds = (ended - begun).total_seconds()
    source_seconds = float(stock["bootWallSeconds"])
    tell(f"stock guest: boot with its link down {seconds:.0f} s; its source's boot {source_seconds:.0f} s")
    assert seconds < 120
    assert seconds < source_seconds + 60


def test_the_network_wait_is_enabled_in_the_stock_guest(stock: dict[str, Any]) -> None:
    login = login_to_clone(stock["replica"], stock)
    assert login.run(f"systemctl is-enabled {_WAITER}") == "enabled"


def test_the_stock_clone_goes_when_its_wish_goes(stock: dict[str, Any]) -> None:
    delete("stock")
    wait_until("stock is gone", lambda: find(VMCLONES, "stock") is None, 60)
    assert find(REPLICAS, stock["replica"]["metadata"]["name"]) is None
    kubectl("delete", f"clonesources.vmclone.dev/{STOCK}")
