"""Seven clones want one home: five copies read at a time, first come, first served, over namespaces."""

from __future__ import annotations

import os
from typing import Any

import pytest
from tests.integration.copies.site import NAMESPACES, Site, all_ready
from tests.support.cluster_cli import wait_until

pytestmark = pytest.mark.apiserver
FILES, FILE_BYTES = 12, 1 << 20


@pytest.fixture(scope="module")
def seven(site: Site) -> dict[str, Any]:
    """Four clones of one team, then three of another, each copy held to 1 MiB a second."""
    for number in range(FILES):
        (site.source.home / f"part-{number}").write_bytes(os.urandom(FILE_BYTES))
    site.source.own()
    site.wish("first", NAMESPACES[0], replicas=4, bandwidthLimit="1Mi")
    wait_until("the first team's clones exist", lambda: len(site.replicas()) == 4, 60)
    site.wish("second", NAMESPACES[1], replicas=3, bandwidthLimit="1Mi")
    began: dict[str, str] = {}

    def done() -> bool:
        began.update({uid: time for uid, time in site.jobs().items() if uid not in began})
        return all_ready(site.replicas(), 7)

    wait_until("seven clones are ready", done, 240)
    return {"replicas": site.replicas(), "began": began}


def test_the_source_never_sees_more_than_five_copies_and_does_see_five(site: Site, seven: dict[str, Any]) -> None:
    assert len(seven["replicas"]) == 7
    assert site.most_at_once() == 5


def test_copies_begin_in_the_order_in_which_they_came(seven: dict[str, Any]) -> None:
    rows = [
        (_since(replica), seven["began"][replica["metadata"]["uid"]], replica["metadata"]["name"])
        for replica in seven["replicas"]
    ]
    wrong = [(one, other) for one in rows for other in rows if one[0] < other[0] and one[1] > other[1]]
    assert not wrong
    assert len({began for _, began, _ in rows}) > 1


def test_every_home_is_the_source_s(site: Site, seven: dict[str, Any]) -> None:
    wanted = {path.name: path.read_bytes() for path in site.source.home.glob("part-*")}
    for replica in seven["replicas"]:
        home = site.machine_of(replica).home
        assert {path.name: path.read_bytes() for path in home.glob("part-*")} == wanted
        assert replica["status"]["homeCopy"]["files"] >= FILES


def test_nothing_of_the_copies_is_left_in_the_cluster_or_on_the_clones(site: Site, seven: dict[str, Any]) -> None:
    assert seven["began"]
    assert site.jobs() == {}
    assert all((machine.folder / "authorized_keys").read_text() == "" for machine in site.clones)


def _since(replica: dict[str, Any]) -> str:
    step = next(step for step in replica["status"]["steps"] if step["name"] == "HomeCopy")
    since: str = step["startTime"]
    return since
