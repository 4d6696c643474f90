"""What Microsoft's Python SDK knows of the API: which URLs there are, and which fields a body may have.

    route("compute", "disks_get")   # PUT or GET, a pattern for the path, the api-version
    check_body(models.Disk, {"location": "westeurope", "propertys": {}})   # raises Refusal: no such field

Nothing of it is typed in by hand: a route is what the SDK's own request builder makes of markers in the place of
names, and a field table is the SDK's model (azure-mgmt-compute 39.0.0, azure-mgmt-network 33.1.0). So a request that
passes here is one that two programs of Microsoft's agree on. ARM itself lets many read-only fields pass
unread; the double refuses them, so that nothing of ours can rely on a field that does nothing.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.doubles.arm.refusals import Refusal

_MARK = "zz{}zz"
_PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,),
    bytes: (str,),
    datetime: (str,),
    int: (int,),
    float: (int, float),
    bool: (bool,),
}
_OPEN = {"VirtualMachineSizeTypes"}
"""Lists that say of themselves that they end years ago; every other list of the SDK is taken as complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation of the API."""

    name: str
    method: str
    pattern: re.Pattern[str]
    """Matches the whole path; group names are the SDK's parameters."""
    version: str
    """The api-version that this SDK asks for."""


@cache
def route(service: str, name: str) -> Route:
    """Return an operation by service (compute, network) and SDK name."""
    module = importlib.import_module(f"azure.mgmt.{service}.operations._operations")
    build = getattr(module, f"build_{name}_request")
    names = [
        one.name
        for one in inspect.signature(build).parameters.values()
        if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    request = build(*(_MARK.format(one) for one in names))
    parts = urlsplit(request.url)
    path = re.escape(parts.path if parts.path.startswith("/") else f"/{parts.path}")
    for one in names:
        path = path.replace(re.escape(_MARK.format(one)), f"(?P<{one}>[^/]+)")
    return Route(
        name=name,
        method=request.method,
        pattern=re.compile(path, re.IGNORECASE),
        version=parse_qs(parts.query)["api-version"][0],
    )


@cache
def model(service: str, name: str) -> Any:
    """Return a model of the SDK."""
    return getattr(importlib.import_module(f"azure.mgmt.{service}.models"), name)


@dataclass(frozen=True, slots=True)
class _Field:
    writable: bool
    type: Any


@cache
def _fields(kind: Any) -> Mapping[str, _Field]:
    """Return the fields of a model by their names in JSON."""
    kind.__new__(kind)  # the SDK fills its field table when the first instance is made
    package = kind.__module__.rsplit(".", 1)[0]
    names = {**vars(importlib.import_module(kind.__module__)), "_models": importlib.import_module(package)}
    types = typing.get_type_hints(kind, globalns=names)
    return {
        field._rest_name: _Field(writable=field._visibility != ["read"], type=types[attribute])
        for attribute, field in kind._attr_to_rest_field.items()
    }


def check_body(kind: Any, body: Any, path: str = "") -> None:
    """Walk a body against a model; raises Refusal for what ARM does not know, or only answers."""
    if not isinstance(body, dict):
        raise _refused(path, f"Error converting value to type '{kind.__name__}'.")
    fields = _fields(kind)
    for name, value in body.items():
        here = f"{path}.{name}" if path else name
        if name not in fields:
            raise _refused(here, f"Could not find member '{name}' on object of type '{kind.__name__}'.")
        if not fields[name].writable:
            raise _refused(here, f"'{name}' is read-only.")
        if value is not None:
            _check_value(fields[name].type, value, here)


def _check_value(expected: Any, value: Any, path: str) -> None:
    choices = _choices(expected)
    listed = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, enum.Enum)]
    if listed and listed[0].__name__ not in _OPEN:
        _check_enum(listed[0], value, path)
    elif len(choices) == 1 or listed:
        _check_one(str if listed else choices[0], value, path)
    elif not any(isinstance(value, _PLAIN.get(choice, (object,))) for choice in choices):
        raise _refused(path, f"Error converting value {value!r}.")


def _choices(expected: Any) -> list[Any]:
    if typing.get_origin(expected) in {typing.Union, UnionType}:
        return [inner for one in typing.get_args(expected) if one is not type(None) for inner in _choices(one)]
    return [expected]


def _check_enum(known: type[enum.Enum], value: Any, path: str) -> None:
    values = [str(one.value) for one in known]
    if not isinstance(value, str) or value.lower() not in {one.lower() for one in values}:
        raise _refused(path, f"The value {value!r} is none of {', '.join(values)}.")


def _check_one(expected: Any, value: Any, path: str) -> None:
    origin = typing.get_origin(expected)
    if origin is list:
        if not isinstance(value, list):
            raise _refused(path, "Error converting value to a list.")
        for number, one in enumerate(value):
            _check_value(typing.get_args(expected)[0], one, f"{path}[{number}]")
    elif origin is dict:
        if not isinstance(value, dict):
            raise _refused(path, "Error converting value to an object.")
        for name, one in value.items():
            _check_value(typing.get_args(expected)[1], one, f"{path}.{name}")
    elif hasattr(expected, "_attr_to_rest_field"):
        check_body(expected, value, path)
    elif expected in _PLAIN and not _is(expected, value):
        raise _refused(path, f"Error converting value {value!r} to type '{expected.__name__}'.")


def _is(expected: Any, value: Any) -> bool:
    """Tell whether JSON's value is of a plain type; true is no number."""
    return isinstance(value, _PLAIN[expected]) and (expected is bool or not isinstance(value, bool))


def _refused(path: str, why: str) -> Refusal:
    return Refusal(400, "BadRequest", f"{why} Path '{path}'.", target=path)
