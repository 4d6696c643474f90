"""Answers of Proxmox VE as values with types. The server is written in Perl, which has none: 1, "1" and true are one.

    rows("GET /nodes", None)        ->  []                     an empty list may come as null
    row("...", {"lock": None})      ->  {}                     a key that is null is a key that is not there
    flag("0")                       ->  False
    number("17.0")                  ->  17
    upid(None)                      ->  ""                     a task that the answer does not name is looked for
    named([{}, {"volid": "a:b"}], "volid")  ->  [{"volid": "a:b"}]
    part("x"), parts("x")           ->  {}, []                 what stands inside an answer, and is none of its kind

An answer of another shape than its call promises is one of something else that listens there: BackendUnreachable. What
is inside of one is read as far as it goes: much of it others write, a guest's agent or whoever edits a description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from vmclone_operator.domain.errors import BackendUnreachable

Row = Mapping[str, Any]
_DIGITS = re.compile(r"[0-9]{1,15}")
_STATE = frozenset({"cpus", "disk", "maxdisk", "maxmem", "mem", "pid", "qmpstatus", "status", "uptime", "vmid"}) | {
    "diskread",
    "diskwrite",
    "netin",
    "netout",
}
"""What status/current and the list of VMs tell, and no config can hold."""
_YEAR_10000 = 253_402_300_800
"""In seconds since 1970: later times can not be written."""


def rows(call: str, data: object) -> list[Row]:
    """Return a list of objects; raises BackendUnreachable."""
    if data is None:
        return []
    if not isinstance(data, list):
        raise _another(call)
    return [row(call, one) for one in data]


def row(call: str, data: object) -> Row:
    """Return an object without its empty keys; raises BackendUnreachable."""
    if not isinstance(data, dict):
        raise _another(call)
    return {str(key): value for key, value in data.items() if value is not None}


def placed(found: Sequence[Row]) -> list[Row]:
    """Return the rows of guests with their ids as numbers; a row without id or node is none that anybody can act on."""
    return [{**one, "vmid": number} for one in named(found, "node") if (number := digits(one.get("vmid")))]


def named(found: Sequence[Row], key: str) -> list[Row]:
    """Return the rows that name their thing, as a text: one that does not is none that anybody can act on."""
    return [{**one, key: str(one[key])} for one in found if isinstance(one.get(key), str | int) and one[key] != ""]


def part(value: object) -> Row:
    """Return an object inside an answer, without its empty keys; none for what is no object."""
    return {str(key): one for key, one in value.items() if one is not None} if isinstance(value, dict) else {}


def parts(value: object) -> list[Row]:
    """Return the objects of a list inside an answer; none for what is no list."""
    return [part(one) for one in value if isinstance(one, dict)] if isinstance(value, list | tuple) else []


def config(call: str, data: object) -> Row:
    """Return a config whose switches are 0 and 1, whatever they came as, without what some servers mix into it.

    That is the VM's state. `cpu` is both: a CPU's name in a config, and its load, a number, in a state.
    """
    told = {key: value for key, value in row(call, data).items() if key not in _STATE}
    if isinstance(told.get("cpu"), int | float):
        del told["cpu"]
    return {key: int(value) if isinstance(value, bool) else value for key, value in told.items()}


def flag(value: object) -> bool:
    """Return a switch; what is not there is off."""
    return str(value).lower() in {"1", "true", "yes", "on"}


def number(value: object, otherwise: int = 0) -> int:
    """Return a number without its fraction."""
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return otherwise


def digits(value: object, otherwise: int = 0) -> int:
    """Return a number that is written in digits alone, at most 15 of them."""
    return int(str(value)) if _DIGITS.fullmatch(str(value)) else otherwise


def moment(value: object) -> str:
    """Return seconds since 1970 as a time of RFC 3339, in UTC; nothing for what is no time."""
    seconds = number(value)
    if not 0 < seconds < _YEAR_10000:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def is_asked_for(task: Row, asked: Mapping[str, object]) -> bool:
    """Tell whether a task is one that its list was asked for; a server may know fewer filters than Proxmox VE."""
    upid_parts = [*str(task.get("upid", "")).split(":"), *[""] * 7]
    kind, subject = (str(task.get(key) or told) for key, told in (("type", upid_parts[5]), ("id", upid_parts[6])))
    same = str(asked.get("typefilter", kind)) == kind and str(asked.get("vmid", subject)) == subject
    return same and (asked.get("source") != "active" or not task.get("endtime"))


def upid(data: object) -> str:
    """Return the id of a task; empty where none is named."""
    return data if isinstance(data, str) and data.startswith("UPID:") else ""


def _another(call: str) -> BackendUnreachable:
    return BackendUnreachable(f"the answer to {call} has another shape than Proxmox VE's: is it a proxy that answers?")
