"""Whole lives on servers that say the same in another way: other releases, proxies, and whatever speaks that API.

The server is written in Perl, which knows no types; a proxy may put its own words in place of the reason phrase.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.crash.proxmox_lives import WAYS, live
from tests.doubles.pve.wire import Reply

from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, at_call, no_faults

OPTIONAL = ("lock", "tags", "description", "ha", "template", "endtime", "exitstatus", "pool", "used", "parent")
DECORATION = {"digest", "vmgenid", "meta", "maxdisk", "maxmem", "uptime", "cpu", "mem", "n", "qmpstatus"}


def _data_as(change: Callable[[Any], Any]) -> Callable[[Reply], Reply]:
    """Return what changes the data of every answer that has some."""

    def changed(reply: Reply) -> Reply:
        body = json.loads(reply.body) if reply.status == 200 and reply.body else None
        if body is None:
            return reply
        return replace(reply, body=json.dumps({**body, "data": change(body["data"])}).encode())

    return changed


def strings(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: strings(value) for key, value in data.items()}
    if isinstance(data, list):
        return [strings(one) for one in data]
    return str(int(data)) if isinstance(data, int) else data


def nulls(data: Any) -> Any:
    if isinstance(data, list):
        return [nulls(one) for one in data] or None
    return {**dict.fromkeys(OPTIONAL), **data} if isinstance(data, dict) else data


def bare(data: Any) -> Any:
    if isinstance(data, list):
        return [bare(one) for one in data]
    if isinstance(data, dict):
        return {key: value for key, value in data.items() if key not in DECORATION}
    return data


def with_state(data: Any) -> Any:
    """Mix a VM's state into its config, as a simulator of the API does."""
    state = {"vmid": 100, "cpu": 0.0, "pid": 0, "disk": 0, "netin": 0, "netout": 0, "uptime": 0}
    state |= {"maxdisk": 34359738368, "diskread": 0, "diskwrite": 0}
    return {**state, **data} if isinstance(data, dict) and "boot" in data else data


def no_task_ids(data: Any) -> Any:
    return None if isinstance(data, str) and ":qmclone:" in data else data


def odd_rows(data: Any) -> Any:
    """Add rows that name nothing to every list of things, and say times in words."""
    if not isinstance(data, list):
        return data
    rows = [{**row, "endtime": "yesterday"} if row.get("endtime") else row for row in data]
    things = rows and rows[0].keys() & {"upid", "volid", "storage", "vmid", "node"}
    return [{"type": "qemu"}, {key: [] for key in things}, *rows] if things else rows


def babble(data: Any) -> Any:
    """Let a guest's agent tell anything beside its addresses."""
    if not isinstance(data, dict) or not isinstance(data.get("result"), list):
        return data
    rows = data["result"]
    told: list[Any] = ["x", 1, ["x", {"ip-address": 1}, {}], {}]
    anything = [{**row, "ip-addresses": one} for row in rows for one in told]
    return {"result": ["x", 1, None, {}, {"hardware-address": []}, *anything, *rows]}


def other_ha(data: Any) -> Any:
    return {**data, "ha": 0} if isinstance(data, dict) and "ha" in data else data


def no_reason(reply: Reply) -> Reply:
    return replace(reply, reason="Internal Server Error") if reply.status == 500 else reply


def no_message(reply: Reply) -> Reply:
    return replace(reply, body=b"") if reply.status >= 300 else reply


DIALECTS: dict[str, Callable[[Reply], Reply]] = {
    "every number and switch is a string": _data_as(strings),
    "what is not there is null, and so is an empty list": _data_as(nulls),
    "nothing is told that a client could do without": _data_as(bare),
    "a config holds the state of its VM as well": _data_as(with_state),
    "a copy that begins does not tell its task": _data_as(no_task_ids),
    "some rows name nothing, and times are words": _data_as(odd_rows),
    "a guest's agent tells anything beside its addresses": _data_as(babble),
    "what HA does is told in another form": _data_as(other_ha),
    "a proxy has its own reason phrases": no_reason,
    "a refusal has a reason phrase alone": no_message,
}


@pytest.mark.parametrize("way", ["linked, of a running source", "clean"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_life_is_as_long_on_a_server_where(dialect: str, way: str) -> None:
    assert not live(WAYS[way], FaultSchedule(), dialect=DIALECTS[dialect])


@pytest.mark.parametrize("dialect", ["a copy that begins does not tell its task", "a proxy has its own reason phrases"])
def test_a_lost_answer_is_found_again_on_a_server_where(dialect: str) -> None:
    lost = at_call("POST /nodes/pve1/qemu/100/clone", Fault(kind=FaultKind.LOSE_REPLY))
    assert not live(WAYS["linked, of a running source"], FaultSchedule(lost), dialect=DIALECTS[dialect])


def test_a_server_that_says_something_else_is_not_lived_with() -> None:
    """The yardstick: what changes answers is really asked."""
    assert live(WAYS["clean"], FaultSchedule(no_faults), dialect=lambda reply: replace(reply, body=b'{"data": 1}'))
