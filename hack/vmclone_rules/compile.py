"""Puts a scanner's rules and ours into the one document that the operator ships, and says what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmclone_rules import gitleaks

OURS = Path(__file__).with_name("ours.json")


def document() -> dict[str, Any]:
    """Return the key shapes of the filter, as they are shipped."""
    theirs = gitleaks.compiled(gitleaks.module_folder())
    ours = json.loads(OURS.read_text(encoding="utf-8"))
    return {
        "source": theirs["source"],
        "harmless": theirs["harmless"],
        "screens": [_shipped(screen) for screen in ours["screens"]],
        "shapes": [_shipped(shape) for shape in [*ours["shapes"], *theirs["shapes"]]],
    }


def _shipped(shape: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shape.items() if key != "why"}


def written(content: dict[str, Any]) -> str:
    """Return the document as text, one shape a line, so that a change reads as one."""
    single = [f'  "{key}": {json.dumps(content[key])}' for key in ("source", "harmless")]
    lists = [f'  "{key}": [\n{_lines(content[key])}\n  ]' for key in ("screens", "shapes")]
    return "{\n" + ",\n".join([*single, *lists]) + "\n}\n"


def _lines(entries: list[dict[str, Any]]) -> str:
    return ",\n".join("    " + json.dumps(entry, sort_keys=True) for entry in entries)


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Yield one line for what a refresh changes."""
    old, new = ({shape["name"]: shape for shape in each.get("shapes", ())} for each in (before, after))
    if before.get("source", {}).get("version") != after["source"]["version"]:
        yield f"gitleaks {before.get('source', {}).get('version', 'none')} -> {after['source']['version']}"
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            kind = "added" if name not in old else "changed" if name in new else "removed"
            yield f"{kind}: {name}"
