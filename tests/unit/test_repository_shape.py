"""Keeps the repository readable: sizes, docstrings, and things that must never be in a tracked file.

The limits are those of docs/CONTRIBUTING.md; what ruff can check is left to ruff.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("operator", "hack", "tests")
NOT_OURS = {".git", ".hypothesis", "__pycache__", ".venv", "build", "dist"}
MODULE_LINES = 450
FUNCTION_LINES = 60


def files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and not NOT_OURS.intersection(parts) and not parts[0].endswith("_cache"):
            yield path


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


MODULES = [path for path in files() if path.suffix == ".py" and name(path).startswith(CODE_FOLDERS)]
each_module = pytest.mark.parametrize("module", MODULES, ids=name)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@each_module
def test_module_is_short_and_says_why_it_exists(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES
    assert ast.get_docstring(ast.parse(text)), "no module docstring"


@each_module
def test_functions_are_short(module: Path) -> None:
    found = functions(ast.parse(module.read_text(encoding="utf-8")))
    assert not {function.name: body_lines(function) for function in found if body_lines(function) > FUNCTION_LINES}


def test_operator_folder_never_shadows_the_standard_library() -> None:
    assert not list((ROOT / "operator").glob("*.py"))
    assert ROOT not in Path(operator.__file__).parents


# In pieces, so that this file does not hold what it forbids.
PACKAGE_HOSTS = [
    ("py" + "pi", "org"),
    ("files.python" + "hosted", "org"),
    ("registry.npm" + "js", "org"),
    ("proxy.go" + "lang", "org"),
    ("sum.go" + "lang", "org"),
    ("static.cra" + "tes", "io"),
    ("index.cra" + "tes", "io"),
    ("registry" + "-1.docker", "io"),
]
NOWHERE = {
    "mock objects": re.compile(r"unittest[. ](import )?mock"),
    "a shell around a command": re.compile(r"shell\s*=\s*" + "True"),
    "an unchecked host key": re.compile("StrictHostKeyChecking" + r"[= ]+no\b"),
    "a note to do it later": re.compile(r"\b(TO" + "DO|FIX" + r"ME)\b"),
    "the path of this checkout": re.compile(r"(?<![\w.-])" + re.escape(str(ROOT)) + r"(?![\w.-])"),
    "a package host": re.compile("|".join(re.escape(".".join(pair)) for pair in PACKAGE_HOSTS)),
}


@pytest.mark.parametrize("what", NOWHERE)
def test_no_file_holds(what: str) -> None:
    found = []
    for path in files():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name(path)}: {match.group()}" for match in NOWHERE[what].finditer(text)]
    assert not found


FORBIDDEN_LINES = {
    "mock objects": "from unit" + "test import mock",
    "a shell around a command": "run(text, shell=" + "True)",
    "an unchecked host key": "-o StrictHost" + "KeyChecking=no",
    "a note to do it later": "# TO" + "DO: later",
    "the path of this checkout": f"see {ROOT}/hack",
    "a package host": "index = " + ".".join(PACKAGE_HOSTS[0]),
}


@pytest.mark.parametrize("what", NOWHERE)
def test_the_search_would_find(what: str) -> None:
    assert NOWHERE[what].search(FORBIDDEN_LINES[what])
