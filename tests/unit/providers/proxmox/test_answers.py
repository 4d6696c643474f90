"""What a server without types says, as values with types."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from tests.doubles.pve.wire import Reply
from tests.support.pve_direct import Cluster
from tests.support.simulation import SimClock

from vmclone_operator.domain.backend import BackendConfig
from vmclone_operator.domain.errors import BackendUnreachable
from vmclone_operator.providers.proxmox import answers, marks, translate
from vmclone_operator.providers.proxmox.client import _data
from vmclone_operator.providers.proxmox.copying import percent_of
from vmclone_operator.providers.proxmox.pve import _PAGE_LINES, Pve

MARK = {"kind": "clone", "instance": "i", "namespace": "n", "vmclone": "v", "vmclone_uid": "u", "ordinal": 1}
MARK |= {"incarnation": "6d1f4a2e-0000-4000-8000-000000000003", "token": "t", "vmid": 100}


@pytest.mark.parametrize(
    ("value", "flag"),
    [(1, True), ("1", True), (True, True), (0, False), ("0", False), (False, False), (None, False), ("", False)],
)
def test_a_switch_may_have_any_form(value: object, flag: bool) -> None:
    assert answers.flag(value) is flag


@pytest.mark.parametrize(
    ("value", "number"), [(17, 17), ("17", 17), ("17.5", 17), (1.0, 1), (None, 9), ("x", 9), ("inf", 9)]
)
def test_a_number_may_have_any_form(value: object, number: int) -> None:
    assert answers.number(value, 9) == number


def test_an_empty_list_may_be_null_and_a_null_key_is_none() -> None:
    assert answers.rows("GET /x", None) == []
    assert answers.rows("GET /x", [{"a": None, "b": 1}]) == [{"b": 1}]


@pytest.mark.parametrize("data", [1, "text", {"a": 1}, [1]], ids=["a number", "a text", "an object", "numbers"])
def test_another_shape_is_another_server(data: object) -> None:
    with pytest.raises(BackendUnreachable, match="GET /nodes"):
        answers.rows("GET /nodes", data)


def test_guests_have_an_id_and_a_node() -> None:
    assert answers.placed([{"vmid": "100", "node": "a"}, {"vmid": 1}, {"node": "a"}]) == [{"vmid": 100, "node": "a"}]


@pytest.mark.parametrize("vmid", ["²", "9" * 5000, "-1", "1e3", [100], {}, True], ids=str)
def test_what_is_no_id_is_nobodys(vmid: object) -> None:
    assert answers.placed([{"vmid": vmid, "node": "a"}]) == []


@pytest.mark.parametrize("row", [{}, {"volid": ""}, {"volid": ["a:b"]}, {"volid": {}}], ids=str)
def test_a_row_that_names_nothing_is_left_out(row: dict[str, object]) -> None:
    assert answers.named([row, {"volid": "a:b", "size": 1}], "volid") == [{"volid": "a:b", "size": 1}]


@pytest.mark.parametrize(
    ("value", "parts"),
    [("x", []), (1, []), ({"a": 1}, []), (None, []), ([1, "x", None, {"a": 1, "b": None}], [{"a": 1}])],
    ids=["a text", "a number", "an object", "nothing", "a list of all sorts"],
)
def test_a_list_inside_an_answer_is_read_as_far_as_it_is_one(value: object, parts: object) -> None:
    assert answers.parts(value) == parts


NEW_YEAR: list[object] = [1767225600, "1767225600", "1767225600.5", 1767225600.5]
NO_TIMES: list[object] = [None, 0, -1, "yesterday", "nan", "inf", 1e300, [], {}]


@pytest.mark.parametrize(
    ("value", "moment"),
    [*((one, "2026-01-01T00:00:00Z") for one in NEW_YEAR), *((one, "") for one in NO_TIMES)],
    ids=str,
)
def test_a_time_may_have_any_form(value: object, moment: str) -> None:
    assert answers.moment(value) == moment


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{",
        "[]",
        '{"kind":"clone"}',
        *(json.dumps({**MARK, **change}) for change in ({"kind": ["clone"]}, {"vmid": "x"}, {"ordinal": "1"})),
        *(json.dumps({**MARK, key: ["x"]}) for key in ("incarnation", "instance", "namespace", "vmclone_uid")),
    ],
    ids=lambda text: text[:200],
)
def test_a_mark_that_somebody_wrote_by_hand_is_none(text: str) -> None:
    assert marks.read({"description": f"vmclone-mark: {json.dumps(MARK)}"}, 100) is not None
    assert marks.read({"description": f"vmclone-mark: {text}"}, 100) is None


@pytest.mark.parametrize(("data", "upid"), [("UPID:pve1:00:", "UPID:pve1:00:"), (None, ""), ("OK", ""), (1, "")])
def test_a_task_is_named_or_looked_for(data: object, upid: str) -> None:
    assert answers.upid(data) == upid


@pytest.mark.parametrize(
    ("reason", "body"),
    [
        ("VM is locked (clone)", b""),
        ("Internal Server Error", b'{"data":null,"message":"VM is locked (clone)\\n"}'),
        ("", b'{"message":"VM is locked (clone)\\n"}'),
    ],
    ids=["as the reason phrase alone", "behind a proxy with phrases of its own", "over HTTP/2"],
)
def test_a_refusal_is_read_wherever_it_stands(reason: str, body: bytes) -> None:
    with pytest.raises(translate.Refused) as refused:
        _data("PUT /x", 500, reason, body)
    assert (refused.value.kind, refused.value.text) == (translate.Kind.LOCKED, "VM is locked (clone)")


def test_a_log_is_read_to_its_end() -> None:
    """Whether a copy was quiesced is said by one of the last lines, after one for every second."""
    cluster = Cluster()
    cluster.place(SimClock())

    async def told() -> None:
        session = await cluster.open(BackendConfig(name="p", settings={}), wake=lambda _: None, fence=lambda: None)
        upid = await session._pve.clone("pve1", 100, {"newid": 9100, "full": 1})
        task = cluster.world.tasks[upid]
        task.log[:] = [f"line {number}" for number in range(2 * _PAGE_LINES + 7)]
        pve: Pve = session._pve
        assert await pve.task_log(upid) == task.log
        assert await pve.task_log_from(upid, 10_003, 2) == ["line 10003", "line 10004"]
        await session.close()

    asyncio.run(told())


@pytest.mark.parametrize(
    ("said", "managed"),
    [({"managed": 1}, True), ({"managed": "0"}, False), ({}, False), (1, True), (0, False), (None, False), ([], False)],
    ids=str,
)
def test_whether_ha_looks_after_a_vm_is_told_in_any_form(said: object, *, managed: bool) -> None:
    """A VM that HA may switch on is not taken for one that it leaves alone."""
    cluster = Cluster()
    cluster.place(SimClock())

    def other(reply: Reply) -> Reply:
        body = json.loads(reply.body)
        return replace(reply, body=json.dumps({"data": {**body["data"], "ha": said}}).encode())

    async def told() -> None:
        session = await cluster.open(BackendConfig(name="p", settings={}), wake=lambda _: None, fence=lambda: None)
        cluster.dialect = other
        assert await session._pve.managed_by_ha("pve1", 100) is managed
        await session.close()

    asyncio.run(told())


def test_percent_goes_on_where_the_last_look_ended() -> None:
    assert percent_of(["create full clone of drive scsi0 (local:1)", "transferred 1.0 GiB of 4.0 GiB (25.00%)"]) == 25
    assert percent_of([], before=25) == 25
    assert percent_of(["create full clone of drive scsi1 (local:2)"], before=99) == 0


CLONE_9183 = {"upid": "UPID:pve2:C707FE02:FD222CA6:6B0E3EAA:qmclone:9183:root@pam:", "id": "9183", "type": "qmclone"}


@pytest.mark.parametrize(
    ("task", "asked", "right"),
    [
        (CLONE_9183, {"typefilter": "qmclone", "vmid": 9183, "source": "active"}, True),
        (CLONE_9183, {"typefilter": "qmclone", "source": "all"}, True),
        ({"upid": CLONE_9183["upid"]}, {"typefilter": "qmclone", "vmid": 9183}, True),
        (CLONE_9183, {"typefilter": "qmtemplate", "vmid": 9183}, False),
        ({"upid": CLONE_9183["upid"]}, {"typefilter": "qmtemplate", "vmid": 9183}, False),
        (CLONE_9183, {"typefilter": "qmclone", "vmid": 918}, False),
        ({**CLONE_9183, "endtime": 1796095758}, {"typefilter": "qmclone", "source": "active"}, False),
        ({**CLONE_9183, "endtime": 1796095758}, {"typefilter": "qmclone", "source": "all"}, True),
    ],
    ids=[
        "one that runs",
        "whatever its VM",
        "by its id alone",
        "another kind",
        "another kind, by its id alone",
        "another VM's",
        "one that ended, where running ones are wanted",
        "one that ended",
    ],
)
def test_a_list_of_tasks_that_was_not_filtered_is(
    task: dict[str, object], asked: dict[str, object], *, right: bool
) -> None:
    """Recorded from a simulator of the API, which knows no filter: a copy that had ended was taken for one at work."""
    assert answers.is_asked_for(task, asked) is right


def test_a_config_is_read_without_the_state_that_a_server_mixes_into_it() -> None:
    """Recorded from a simulator of the API: each of these was refused as a setting that nobody knows."""
    state = {"vmid": 101, "cpu": 0.0, "pid": 0, "disk": 0, "netin": 0, "netout": 0, "uptime": 0, "maxdisk": 34359738368}
    config = {"name": "guest-101", "cores": 2, "memory": 2048, "agent": "1"}
    assert answers.config("GET config", {**state, **config}) == config
    assert answers.config("GET config", {"cpu": "x86-64-v2-AES"}) == {"cpu": "x86-64-v2-AES"}
