"""Copies that are cut: by the loss of a pod, of the source's sshd, of the clone. They finish, and send little again."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from tests.integration.copies.machines import Machine
from tests.integration.copies.site import NAMESPACES, OPERATOR, Site, all_ready
from tests.support.cluster_cli import kubectl, wait_until

pytestmark = pytest.mark.apiserver
SIZE = 24 << 20
AWAY_SECONDS = 2


@pytest.fixture(scope="module")
def cuts(site: Site) -> dict[str, Any]:
    """Three clones of a large home: a pod is lost at 10 %, the source's sshd at 50 %, a clone at 90 %."""
    site.remove_wishes()
    for old in site.source.home.glob("part-*"):
        old.unlink()
    for number in range(6):
        (site.source.home / f"big-{number}").write_bytes(os.urandom(SIZE // 6))
    site.source.own()
    site.wish("cut", NAMESPACES[0], replicas=3, bandwidthLimit="1Mi")
    wait_until("three clones are copied to", lambda: _copying(site) == 3, 90)
    by_name = {replica["metadata"]["name"]: site.machine_of(replica) for replica in site.replicas()}
    there = {"cut-1": _wait_for(by_name["cut-1"], 10)}
    _lose_pod(site, "cut-1")
    _wait_for(by_name["cut-2"], 50)
    there |= {name: machine.bytes_there() for name, machine in by_name.items()}
    _lose(site.source)
    there["cut-3"] = _wait_for(by_name["cut-3"], 90)
    _lose(by_name["cut-3"])
    usable = [_is_kept(replica) for replica in site.replicas()]
    wait_until("all copies are done", lambda: all_ready(site.replicas(), 3), 240)
    return {"replicas": site.replicas(), "there": there, "usable": usable}


def test_every_cut_copy_finishes_with_the_whole_home(site: Site, cuts: dict[str, Any]) -> None:
    wanted = {path.name: path.read_bytes() for path in site.source.home.glob("big-*")}
    for replica in cuts["replicas"]:
        home = site.machine_of(replica).home
        assert {path.name: path.read_bytes() for path in home.glob("big-*")} == wanted


def test_what_was_there_is_hardly_sent_again(cuts: dict[str, Any]) -> None:
    for replica in cuts["replicas"]:
        there = cuts["there"][replica["metadata"]["name"]]
        again = replica["status"]["homeCopy"]["sentBytes"] - (SIZE - there)
        assert again < 0.05 * there + 256 * 1024, replica["metadata"]["name"]


def test_the_vm_is_kept_meanwhile_and_says_why_it_is_not_ready(cuts: dict[str, Any]) -> None:
    assert all(cuts["usable"])
    assert all(replica["status"]["homeCopy"]["attempts"] > 1 for replica in cuts["replicas"])


def _copying(site: Site) -> int:
    return sum(replica.get("status", {}).get("state") == "HomeCopy" for replica in site.replicas())


def _wait_for(machine: Machine, percent: int) -> int:
    wait_until(f"{percent} % are there", lambda: machine.bytes_there() * 100 >= percent * SIZE, 120, pause=0.1)
    return machine.bytes_there()


def _lose_pod(site: Site, name: str) -> None:
    """Kill a pod without a word, as the loss of its node does."""
    uid = next(r["metadata"]["uid"] for r in site.replicas() if r["metadata"]["name"] == name)
    pods = json.loads(kubectl("get", "pods", "-n", OPERATOR, "-l", f"vmclone.dev/incarnation={uid}", "-o", "json"))
    for pod in pods["items"]:
        kubectl("delete", "pod", pod["metadata"]["name"], "-n", OPERATOR, "--force", "--grace-period=0")


def _lose(machine: Machine) -> None:
    """Cut every connection of a machine, as its reboot does, and bring it back."""
    machine.kill()
    time.sleep(AWAY_SECONDS)
    machine.start()


def _is_kept(replica: dict[str, Any]) -> bool:
    conditions = {c["type"]: c for c in replica["status"]["conditions"]}
    copied = conditions["HomeCopied"]["reason"] in {"Copying", "CopyFailed", "WaitingForSlot", "Copied"}
    return conditions["Provisioned"]["status"] == "True" and copied
