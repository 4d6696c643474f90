"""The texts of a release that follow from what is checked in: bill of materials, notes, checksums. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_SECTION = re.compile(r"^## \[(?P<version>[^\]]+)\][^\n]*\n(?P<text>.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)


class ReleaseError(Exception):
    """What is checked in does not make a release; the sentence says what to change."""


def bill_of_materials(lock: str, *, name: str, version: str, moment: int) -> str:
    """Return a CycloneDX document of the Python packages that a lock file pins, with the hashes it lets through."""
    components = [_component(match, text) for match, text in _pins(lock)]
    if not components:
        raise ReleaseError("the lock file pins nothing: run hack/lock")
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "name": name, "version": version},
        },
        "components": sorted(components, key=lambda component: component["purl"]),
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _pins(lock: str) -> Iterator[tuple[re.Match[str], str]]:
    found = list(_PINNED.finditer(lock))
    for match, following in zip_longest(found, found[1:]):
        yield match, lock[match.end() : len(lock) if following is None else following.start()]


def _component(match: re.Match[str], text: str) -> dict[str, Any]:
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    return {
        "type": "library",
        "name": name,
        "version": match["version"],
        "purl": f"pkg:pypi/{name}@{match['version']}",
        # Each is that of one file of the version: which one is installed depends on the machine.
        "properties": [{"name": "vmclone:accepted-sha256", "value": digest} for digest in sorted(_HASH.findall(text))],
    }


def notes(changelog: str, version: str) -> str:
    """Return what the changelog says of a version; while that is not there, what it says of the unreleased one."""
    sections = {match["version"]: match["text"].strip() for match in _SECTION.finditer(changelog)}
    for name in (version, "Unreleased"):
        if sections.get(name):
            return f"# vmclone {version}\n\n{sections[name]}\n"
    raise ReleaseError(f"CHANGELOG.md says nothing of {version}: add a section ## [{version}]")


def checksums(digests: Mapping[str, str]) -> str:
    """Return the lines that `sha256sum --check` reads, from names and SHA-256 in hex."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def one_version(named: Mapping[str, str]) -> str:
    """Return the version that all places name, or raise ReleaseError with who says what."""
    if len(set(named.values())) != 1:
        said = ", ".join(f"{place} says {version}" for place, version in sorted(named.items()))
        raise ReleaseError(f"a release has one version, but {said}")
    return next(iter(named.values()))
