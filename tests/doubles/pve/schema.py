"""Checks parameters against the recorded tables, with the server's own texts.

Every parameter table is closed: what it does not name is refused by name (recording 02-create-config, 44). A
string may itself be a list of properties (`local:1,format=qcow2`); those are checked against a table too, and
their complaints are collected behind `invalid format - format error`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.doubles.pve.formats import FORMATS, BadFormat
from tests.doubles.pve.refusals import PARAMETERS, Refused

Table = dict[str, dict[str, Any]]
UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"
_TABLES = Path(__file__).parent / "tables"
_INDEX_LIMITS = {"scsi": 31, "ide": 4, "sata": 6, "virtio": 16, "net": 32, "unused": 256, "ipconfig": 32}
_INDEX_LIMITS |= {"serial": 4, "usb": 14, "hostpci": 16, "parallel": 3, "numa": 8, "virtiofs": 10}
"""How many of each there can be; qemu-server src/PVE/QemuServer/Drive.pm and QemuServer.pm, e6352be."""


@cache
def document() -> dict[str, Any]:
    """Return the tables as they are in the repository."""
    read: dict[str, Any] = json.loads((_TABLES / "endpoints.json").read_text())
    read["endpoints"] |= json.loads((_TABLES / "written.json").read_text())["endpoints"]
    return read


@cache
def formats() -> dict[str, Table]:
    """Return the property tables by name: those of the recording, and those written from the source."""
    written: dict[str, Table] = json.loads((_TABLES / "formats.json").read_text())["formats"]
    return {**document()["formats"], **written}


@cache
def parameters(endpoint: str) -> Table:
    """Return the parameter table of an endpoint, indexed names spelled out."""
    row = document()["endpoints"][endpoint]
    included = document()["includes"][row["include"]] if "include" in row else {}
    return _spelled_out({**included, **row["parameters"]})


def _spelled_out(table: Table) -> Table:
    """`net[n]` becomes net0, net1, ...; a table without such names stays as it is."""
    full: Table = {}
    for name, rule in table.items():
        if not name.endswith("[n]"):
            full[name] = rule
            continue
        stem = name.removesuffix("[n]")
        full.update({f"{stem}{index}": rule for index in range(_INDEX_LIMITS[stem])})
    return full


def checked(table: Table, given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters in their types, or refuse them all at once."""
    errors: dict[str, str] = {}
    values = _object(table, given, errors, prefix="")
    if errors:
        raise Refused(PARAMETERS, status=400, errors=errors)
    return values


def _object(table: Table, given: dict[str, Any], errors: dict[str, str], *, prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in table:
            errors[prefix + name] = UNKNOWN
            continue
        if value is not None:
            values[name] = _value(table[name], value, errors, prefix + name)
    for name, rule in table.items():
        if name not in values and "alias" not in rule and not rule.get("optional"):
            errors.setdefault(prefix + name, MISSING)
        needed = rule.get("requires")
        if name in values and needed and given.get(needed) is None:
            errors[prefix + needed] = f"missing property required by '{prefix}{name}'"
    return values


def _value(rule: dict[str, Any], value: Any, errors: dict[str, str], name: str) -> Any:
    try:
        return _typed(rule, value, name)
    except BadFormat as error:
        errors[name] = str(error)
        return value


def _typed(rule: dict[str, Any], value: Any, name: str) -> Any:
    kind = rule.get("type", "string")
    if kind == "array":
        entries = value if isinstance(value, list) else [value]
        return [_typed(rule.get("items", {}), entry, name) for entry in entries]
    if isinstance(value, list):
        raise BadFormat(f"type check ('{kind}') failed - got ARRAY")
    typed = _TYPES[kind](value)
    _check_bounds(rule, typed)
    if isinstance(typed, str):
        _check_text(rule, typed, name)
    elif isinstance(rule.get("format"), str):
        FORMATS[rule["format"]](str(typed))
    return typed


def _boolean(value: Any) -> int:
    if isinstance(value, bool):
        return int(value)
    if str(value) not in {"0", "1"}:
        raise BadFormat(f"type check ('boolean') failed - got '{value}'")
    return int(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value)):
        raise BadFormat(f"type check ('integer') failed - got '{value}'")
    return int(value)


def _number(value: Any) -> float:
    if not re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", str(value)):
        raise BadFormat(f"type check ('number') failed - got '{value}'")
    return float(value)


_TYPES: dict[str, Callable[[Any], Any]] = {"boolean": _boolean, "integer": _integer, "number": _number, "string": str}


def _check_bounds(rule: dict[str, Any], value: Any) -> None:
    if isinstance(value, str):
        return
    if "format" in rule and rule["format"] == "pve-vmid":
        return  # its format speaks first and says the same of every bad id (recording 02-create-config, 94)
    if "minimum" in rule and value < rule["minimum"]:
        raise BadFormat(f"value must have a minimum value of {rule['minimum']}")
    if "maximum" in rule and value > rule["maximum"]:
        raise BadFormat(f"value must have a maximum value of {rule['maximum']}")


def _check_text(rule: dict[str, Any], value: str, name: str) -> None:
    limit = rule.get("maxLength")
    if limit is not None and len(value) > limit:
        raise BadFormat(f"value may only be {limit} characters long")
    least = rule.get("minLength")
    if least is not None and len(value) < least:
        raise BadFormat(f"value must be at least {least} characters long")
    form = rule.get("format")
    if form is not None and (value or "urlencoded" not in str(form)):
        _check_format(form, value, name)
    pattern = rule.get("pattern")
    if pattern is not None and not re.fullmatch(_python_pattern(pattern), value):
        raise BadFormat("value does not match the regex pattern")
    choices = rule.get("enum")
    if choices is not None and value not in choices:
        known = ", ".join(str(choice) for choice in choices)
        raise BadFormat(f"value '{value}' does not have a value in the enumeration '{known}'")


def _check_format(form: Any, value: str, name: str) -> None:
    table = form if isinstance(form, dict) else formats().get(form)
    if table is None:
        FORMATS[form](value)
    elif not (value == "none" and "backup" in table):
        properties(table, value, name)


@cache
def _python_pattern(pattern: str) -> str:
    """Perl writes (?^:...) for a group with its own flags, and {,16} for at most sixteen."""
    return pattern.replace("(?^:", "(?:").replace("(?^i:", "(?i:").replace("{,", "{0,")


def properties(table: Table, text: str, name: str = "") -> dict[str, Any]:
    """Return the properties of a property string, in their types; raises BadFormat with every complaint."""
    given = _split(table, text)
    errors: dict[str, str] = {}
    values = _object(table, given, errors, prefix=f"{name}." if name else "")
    if errors:
        raise BadFormat("invalid format - format error\n" + "".join(f"{key}: {text}\n" for key, text in errors.items()))
    return values


def _split(table: Table, text: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, separator, value = part.partition("=")
        default = next((key for key, rule in table.items() if rule.get("default_key")), None)
        if not separator or (default is not None and name not in table and ":" in name):
            if default is None or default in given:
                raise BadFormat(
                    "invalid format - format error\nvalue without key, but schema does not define a default key\n"
                )
            given[default] = part
            continue
        if table.get(name, {}).get("alias") == "macaddr":
            given["model"] = name
        given[table.get(name, {}).get("alias", name)] = value
    return given
