"""The revision of a template: which replicas were made from the wish as it is now. Pure.

Only what the user wrote goes into it, as it was written: an operator that learns new fields or defaults
changes no revision. Labels are left out, for they reach a replica that exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_DIGITS = 10
_IN_PLACE = frozenset({"labels"})
_SHAPING_DISK = ("copy", "pool")


def user_template(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the user's template that a clone is made from and keeps."""
    template = spec.get("template") or {}
    return {name: value for name, value in template.items() if name not in _IN_PLACE}


def user_disk(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the user's wish for disks that a clone is made from and keeps."""
    disk = spec.get("disk") or {}
    return {name: disk[name] for name in _SHAPING_DISK if name in disk}


def revision_of(spec: Mapping[str, Any]) -> str:
    """Return the revision of a VMClone's spec as the user wrote it."""
    parts = {"template": user_template(spec), "disk": user_disk(spec)}
    written = {name: value for name, value in parts.items() if value}
    canonical = json.dumps(written, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DIGITS]


def is_current(revision: str, wanted: str) -> bool:
    """Return whether a replica needs no replacement; one made before there were revisions never does."""
    return revision in ("", wanted)
