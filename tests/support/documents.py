"""Copies of JSON documents: what `copy.deepcopy` does, at a thirtieth of its price; simulations make millions."""

from __future__ import annotations

import marshal
from typing import Any, TypeVar, cast

Value = TypeVar("Value")


def copied(value: Value) -> Value:
    """Return a copy of a JSON value that shares nothing changeable with it."""
    try:
        written = marshal.dumps(cast("Any", value))
        return cast("Value", marshal.loads(written))  # noqa: S302  - what this process just wrote
    except ValueError:  # something that only looks like JSON, an enum's member for instance
        return cast("Value", _copied(value))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
