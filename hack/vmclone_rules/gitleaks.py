"""Reads the rules of gitleaks, a Go module, and compiles them for the filter.

The module is pinned by version and checksum. Its rules say: a keyword without which they need not be tried, an
expression, the least entropy of what it found, and what is known to be no secret. All four are kept.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from vmclone_rules.expressions import for_python, read, without_lead

MODULE = "github.com/gitleaks/gitleaks/v8"
VERSION = "v8.30.1"
CHECKSUM = "h1:47Qm4HBVPbTTKH85chTXyHuVM5i7JT0vv3DjAApVay8="
_RULES = "config/gitleaks.toml"
_OURS = {
    "private-key": "own shapes know keys in JSON, in base64 and with headers, and that a parser of keys holds none",
    "kubernetes-secret-yaml": "two nested repetitions without end; an own shape finds the same",
    "curl-auth-header": "three nested repetitions; own shapes find what a command line says",
    "curl-auth-user": "the same",
}
"""Rules that are not taken, and why."""
_STARTS = {"generic-api-key"}
"""Rules that find nothing but what begins with one of their keywords, and that would be tried often."""
_FAR = {"sourcegraph-access-token"}
"""Rules whose keyword may lie anywhere in a text, not in what they match."""


class RulesRefused(Exception):  # noqa: N818  - named for what happened
    """The module is not what was pinned."""


def module_folder() -> Path:
    """Return where the pinned module lies, fetched by the ordinary client when it is not there yet."""
    command = ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if told.get("Sum") != CHECKSUM:
        raise RulesRefused(f"{MODULE}@{VERSION} has the checksum {told.get('Sum')}, not {CHECKSUM}")
    return Path(told["Dir"])


def compiled(folder: Path) -> dict[str, Any]:
    """Return what the filter reads, as one document."""
    document = tomllib.loads((folder / _RULES).read_text(encoding="utf-8"))
    everywhere = document["allowlist"]
    return {
        "source": {"module": MODULE, "version": VERSION, "checksum": CHECKSUM, "licence": "MIT", "left": _OURS},
        "harmless": {
            "expressions": [_python(expression) for expression in everywhere["regexes"]],
            "words": everywhere["stopwords"],
        },
        "shapes": [_shape(rule) for rule in document["rules"] if "regex" in rule and rule["id"] not in _OURS],
    }


def _shape(rule: dict[str, Any]) -> dict[str, Any]:
    parts, any_case = read(rule["regex"])
    body = without_lead(parts)
    pattern = for_python(body)
    shape: dict[str, Any] = {
        "name": rule["id"],
        "anchors": sorted(word.lower() for word in rule["keywords"]),
        "pattern": f"(?i:{pattern})" if any_case else pattern,
    }
    if rule["id"] in _FAR:
        shape["whole"] = True
    if rule["id"] in _STARTS:
        shape["starts"] = True
    if "entropy" in rule:
        shape["entropy"] = rule["entropy"]
    if "secretGroup" in rule:
        shape["group"] = rule["secretGroup"]
    harmless = [_harmless(entry) for entry in rule.get("allowlists", ()) if "paths" not in entry]
    if harmless:
        shape["harmless"] = harmless
    return shape


def _harmless(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "in": entry.get("regexTarget", "secret"),
        "expressions": [_python(expression) for expression in entry.get("regexes", ())],
        "words": sorted(word.lower() for word in entry.get("stopwords", ())),
    }


def _python(expression: str) -> str:
    parts, any_case = read(expression)
    return f"(?i:{for_python(parts)})" if any_case else for_python(parts)
