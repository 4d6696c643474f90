"""Sees to it that users never meet a word without a page: each reason that is written has an entry in the reference.

Simulations look at everything that their operator writes: a condition, or an Event of it, whose reason
docs/reference/conditions.md does not explain ends the test.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from vmclone_generate.reasons import PAGE, entries_of
from vmclone_operator.kube.cluster import Document, Kind

ROOT = Path(__file__).resolve().parents[2]


@cache
def explained() -> frozenset[str]:
    """Return the reasons that have an entry with a meaning and a remedy."""
    return frozenset(entries_of((ROOT / PAGE).read_text(encoding="utf-8")))


def unexplained(kind: Kind, document: Document) -> list[str]:
    """Return the reasons of an object of ours, or of an Event about one, that have no entry."""
    if kind is Kind.EVENT:
        about_ours = str(document.get("regarding", {}).get("apiVersion", "")).startswith("vmclone.dev/")
        given = [str(document.get("reason"))] if about_ours else []
    else:
        status: dict[str, Any] = document.get("status") or {}
        given = [str(row["reason"]) for row in status.get("conditions", ())] if kind.group == "vmclone.dev" else []
    return [reason for reason in given if reason not in explained()]


def refuse_unexplained(kind: Kind, event: str, document: Document) -> None:  # noqa: ARG001  - a watcher's form
    """Fail when an object tells a user what no page explains."""
    missing = unexplained(kind, document)
    if missing:
        name = document["metadata"]["name"]
        raise AssertionError(f"{kind.kind} {name} says {', '.join(missing)}: {PAGE} has no entry of it")
