"""Renders the TOML that containerd reads; the standard library only parses TOML."""

from __future__ import annotations

import json
from typing import Any


def render(document: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """Return the document as TOML; JSON strings, numbers, booleans and lists are TOML too."""
    lines = []
    if path:
        lines.append("[" + ".".join(json.dumps(part) for part in path) + "]")
    tables = {key: value for key, value in document.items() if isinstance(value, dict)}
    for key, value in document.items():
        if key not in tables:
            lines.append(f"{json.dumps(key)} = {json.dumps(value)}")
    text = "\n".join(lines) + "\n" if lines else ""
    return text + "".join(render(value, (*path, key)) for key, value in tables.items())
