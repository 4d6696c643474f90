"""Packs what scrubs a clone: the filter's own code and rules, so that home copy and scrub never differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from vmclone_operator.api.source import CloneSourceSpec
from vmclone_operator.domain.guest_scrub import ScrubProgram, ScrubRequest
from vmclone_operator.homecopy.filters import floor

_BASE = "vmclone_operator.homecopy"
_MAIN = "clone.scrub"
_IMPORT = re.compile(r"^from vmclone_operator\.homecopy\.(\S+) import ", re.MULTILINE)
_LOADER = """\
import json, sys, types
for package in {packages}:
    sys.modules[package] = types.ModuleType(package)
    sys.modules[package].__path__ = []
for name, text in json.loads({modules}):
    package, _, last = name.rpartition(".")
    module = types.ModuleType(name)
    sys.modules[name] = module
    setattr(sys.modules[package], last, module)
    exec(compile(text, "<" + name + ">", "exec"), module.__dict__)
sys.exit(sys.modules[{main}].main(lines))
"""


@cache
def scrub_program() -> ScrubProgram:
    """Return the scrub of this release."""
    system = json.loads(files(__package__).joinpath("scrub_list.json").read_text(encoding="utf-8"))
    rules = {"filter": floor().rules, "homeNames": system["homeNames"], "system": system["system"]}
    return ScrubProgram(
        scope=f"{system['version']}.{floor().version}",
        program=_program(),
        rules=json.dumps(rules, separators=(",", ":")),
        posix_rules=tuple(_posix_rules(rules)),
        stop_units=tuple(system["stopUnits"]),
    )


def scrub_request(source: CloneSourceSpec | None) -> ScrubRequest:
    """Return what a clone of this source scrubs; without its owner's word, the built-in scope."""
    if source is None:
        return ScrubRequest(program=scrub_program())
    allow = source.home.allow if source.home is not None else ()
    wish = source.scrub
    return ScrubRequest(program=scrub_program(), paths=wish.paths, disable_units=wish.disable_units, allow=allow)


def scrub_refusal(source: CloneSourceSpec) -> str:
    """Return why an owner's additions cannot be sent to a guest, empty when they can."""
    return _refusal(scrub_request(source))


@lru_cache(maxsize=64)
def _refusal(request: ScrubRequest) -> str:
    """Return the same; each pass asks, and the program's lines are many."""
    try:
        request.parameter_lines()
    except ValueError as error:
        return f"spec.scrub: {error}"
    return ""


def _program() -> str:
    modules = [(f"{_BASE}.{name}", _text(name)) for name in _needed(_MAIN)]
    packages = [_BASE.partition(".")[0], _BASE, f"{_BASE}.source", f"{_BASE}.clone"]
    return _LOADER.format(packages=packages, modules=repr(json.dumps(modules)), main=repr(f"{_BASE}.{_MAIN}"))


def _needed(name: str) -> list[str]:
    """Return what a module imports of ours, each after what it imports itself; a forgotten one fails in guests only."""
    found = dict.fromkeys(inner for imported in _IMPORT.findall(_text(name)) for inner in _needed(imported))
    return [*found, name]


def _text(name: str) -> str:
    folder, _, module = name.partition(".")
    return files(__package__).joinpath(folder, f"{module}.py").read_text(encoding="utf-8")


def _posix_rules(rules: dict[str, Any]) -> Iterator[str]:
    """Yield what `find` and `grep` can follow: names, doubtful names, places; two words are parted by a tab."""
    families = rules["filter"]["families"].values()
    for pattern in [*rules["homeNames"], *(pattern for family in families for pattern in family.get("never", ()))]:
        kind = "folder" if pattern.endswith("/") else "name"
        yield f"{kind}={pattern.rstrip('/')}"
    for family in families:
        yield from (f"except={pattern}" for pattern in family.get("except", ()))
        yield from (f"doubtful={pattern}" for pattern in family.get("byContent", ()))
    for document in rules["system"]:
        if not document.get("olderThanBoot"):
            yield from _posix_places(document)


def _posix_places(document: dict[str, Any]) -> Iterator[str]:
    for path in document["paths"]:
        base, found, below = path.partition("/**")
        if document.get("emptied"):
            yield f"empty={path}"
        elif "containing" in document:
            expression = document["containing"].replace("(?:", "(").replace(r"\s", "[[:space:]]")
            yield f"containing={path}?{expression}"
        elif found:
            yield f"below={base}?{below.lstrip('/') or '*'}"
        else:
            yield f"place={path}"
