"""Packs what scrubs a clone: the filter's own code and rules, so that home copy and scrub never differ."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from vmclone_operator.api.source import CloneSourceSpec
from vmclone_operator.domain.guest_scrub import ScrubProgram, ScrubRequest
from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.posix_rules import posix_rules

_BASE = "vmclone_operator.homecopy"
_MAIN = "clone.scrub"
_IMPORT = re.compile(r"^from vmclone_operator\.homecopy\.(\S+) import ", re.MULTILINE)
_LOADER = """\
import sys, types
for package in {packages}:
    sys.modules[package] = types.ModuleType(package)
    sys.modules[package].__path__ = []
for name, text in {modules}:
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
    rules = {"filter": floor().rules, "homeNames": system["homeNames"]}
    return ScrubProgram(
        scope=f"{system['version']}.{floor().version}",
        program=_program(),
        rules=json.dumps(rules, separators=(",", ":")),
        places="\n".join(_places(system["system"])) + "\n",
        posix_rules="\n".join(posix_rules(floor().rules, system["homeNames"], _within(system["system"]))) + "\n",
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
    modules = [(f"{_BASE}.{name}", _bare(_text(name))) for name in _needed(_MAIN)]
    packages = [_BASE.partition(".")[0], _BASE, f"{_BASE}.source", f"{_BASE}.clone"]
    return _LOADER.format(packages=packages, modules=modules, main=repr(f"{_BASE}.{_MAIN}"))


def _bare(text: str) -> str:
    """Return a module without what only its readers need: a third less travels, and guest channels are narrow."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body: list[ast.stmt] = getattr(node, "body", None) or []
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [one for one in body if not _is_text(one)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _needed(name: str) -> list[str]:
    """Return what a module imports of ours, each after what it imports itself; a forgotten one fails in guests only."""
    found = dict.fromkeys(inner for imported in _IMPORT.findall(_text(name)) for inner in _needed(imported))
    return [*found, name]


def _text(name: str) -> str:
    folder, _, module = name.partition(".")
    return files(__package__).joinpath(folder, f"{module}.py").read_text(encoding="utf-8")


def _places(documents: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the list's lines, which both engines read; where a name comes from stays at home."""
    for document in documents:
        yield f"#{_kind(document)}"
        yield from document.get("searched") or _paths(document)


def _within(documents: list[dict[str, Any]]) -> Iterator[str]:
    for document in documents:
        yield from document["names"] if "within" in document else ()


def _kind(document: dict[str, Any]) -> str:
    if "masked" in document:
        return f"masked {document['value']} {_with_tabs(document['masked'])}"
    if "containing" in document:
        return f"containing {_with_tabs(document['containing'])}"
    if "within" in document:
        return f"within {' '.join(document['within'])}"
    flags = {"searched": "searched", "emptied": "emptied", "olderThanBoot": "older", "files": "files", "here": "here"}
    return next((kind for key, kind in flags.items() if document.get(key)), "any")


def _paths(document: dict[str, Any]) -> list[str]:
    if "in" in document:
        return [f"{folder.rstrip('/')}/{name}" for folder in document["in"] for name in document["names"]]
    paths: list[str] = document["names"] if "within" in document else document["paths"]
    return paths


def _with_tabs(expression: str) -> str:
    """Return it with tabs for what grep and awk do not take for one."""
    return expression.replace(r"\t", "\t")
