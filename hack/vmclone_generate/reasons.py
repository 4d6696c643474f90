"""Writes what `kubectl vmclone why` says of a reason, from docs/reference/conditions.md: one text in both places."""

from __future__ import annotations

import json
import re

from vmclone_generate.checked_in import ROOT

PATH = "operator/vmclone_kubectl/reasons.json"
PAGE = "docs/reference/conditions.md"
_ENTRY = re.compile(
    r"^### (?P<reason>\w+)\n\n(?P<meaning>.*?)\n\n\*What to do:\* (?P<remedy>.*?)(?=\n\n#|\Z)", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def text() -> str:
    """Return the file: reason -> what it means, what to do, both as plain lines."""
    entries = entries_of((ROOT / PAGE).read_text(encoding="utf-8"))
    return json.dumps(entries, indent=1, sort_keys=True) + "\n"


def entries_of(page: str) -> dict[str, tuple[str, str]]:
    """Return the entries of the page; a heading without a remedy is not one."""
    return {match["reason"]: (_plain(match["meaning"]), _plain(match["remedy"])) for match in _ENTRY.finditer(page)}


def _plain(markdown: str) -> str:
    return " ".join(_LINK.sub(r"\1", markdown).replace("`", "").split())
