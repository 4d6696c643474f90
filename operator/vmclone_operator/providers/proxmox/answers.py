"""Answers of Proxmox VE as values with types. The server is written in Perl, which has none: 1, "1" and true are one.

    rows("GET /nodes", None)        ->  []                     an empty list may come as null
    row("...", {"lock": None})      ->  {}                     a key that is null is a key that is not there
    flag("0")                       ->  False
    number("17.0")                  ->  17
    upid(None)                      ->  ""                     a task that the answer does not name is looked for

What has another shape than its call promises is an answer of something else that listens there: BackendUnreachable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmclone_operator.domain.errors import BackendUnreachable

Row = Mapping[str, Any]


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
    whole = [one for one in found if str(one.get("vmid", "")).isdigit() and one.get("node")]
    return [{**one, "vmid": int(one["vmid"])} for one in whole]


def config(call: str, data: object) -> Row:
    """Return a config whose switches are 0 and 1, whatever they came as."""
    return {key: int(value) if isinstance(value, bool) else value for key, value in row(call, data).items()}


def flag(value: object) -> bool:
    """Return a switch; what is not there is off."""
    return str(value).lower() in {"1", "true", "yes", "on"}


def number(value: object, otherwise: int = 0) -> int:
    """Return a number without its fraction."""
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return otherwise


def upid(data: object) -> str:
    """Return the id of a task; empty where none is named."""
    return data if isinstance(data, str) and data.startswith("UPID:") else ""


def _another(call: str) -> BackendUnreachable:
    return BackendUnreachable(f"the answer to {call} has another shape than Proxmox VE's: is it a proxy that answers?")
