"""Packs the programs for source and clone into constant texts, so that nothing has to be installed on either."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib.resources import files

_BASE = "vmclone_operator.homecopy"
_IMPORT = re.compile(r"^from vmclone_operator\.homecopy\.(\S+) import ", re.MULTILINE)

_LOADER = """\
import json, sys, types
for package in {packages}:
    sys.modules[package] = types.ModuleType(package)
    sys.modules[package].__path__ = []
for name, text in json.loads({modules}):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, "<" + name + ">", "exec"), module.__dict__)
sys.exit(sys.modules[{main}].main())
"""

REMOTE_COMMAND = (
    "exec /bin/sh -c 'command -v python3 >/dev/null 2>&1 || exit 90; "
    'exec python3 -I -c "import sys; b = sys.stdin.buffer; exec(b.read(int(b.readline())))"\''
)
"""The one command that is ever run on a source. Its input is the length of the program, the program, documents."""

NO_PYTHON = 90
"""The remote command's exit code when the source or the clone has no python3."""


@cache
def source_program() -> bytes:
    """Return the program with its length before it, as it is written to the remote command's input."""
    return _with_length(_packed("source.program"))


@cache
def clone_program() -> bytes:
    """Return the clone's program in the same way; the clone runs it only if it is the one that its key is for."""
    return _with_length(_packed("clone.arrived"))


@cache
def clone_program_digest() -> str:
    """Return the SHA-256 of the clone's program, which stands in the line of the copy's key."""
    return hashlib.sha256(_packed("clone.arrived")).hexdigest()


def _with_length(program: bytes) -> bytes:
    return b"%d\n%b" % (len(program), program)


@cache
def _packed(main: str) -> bytes:
    modules = [(f"{_BASE}.{name}", _text(name)) for name in _needed(main)]
    packages = [_BASE.partition(".")[0], _BASE, f"{_BASE}.source", f"{_BASE}.clone"]
    text = _LOADER.format(packages=packages, modules=repr(json.dumps(modules)), main=repr(f"{_BASE}.{main}"))
    return text.encode()


def _needed(name: str) -> list[str]:
    """Return what a module imports of ours, each after what it imports itself; a forgotten one fails on hosts only."""
    found = dict.fromkeys(inner for imported in _IMPORT.findall(_text(name)) for inner in _needed(imported))
    return [*found, name]


def _text(name: str) -> str:
    folder, _, module = name.partition(".")
    return files(_BASE).joinpath(folder, f"{module}.py").read_text(encoding="utf-8")
