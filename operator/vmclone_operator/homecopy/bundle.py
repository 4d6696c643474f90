"""Packs the source's programs into one constant text, so that nothing has to be installed on a source."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

_PACKAGE = "vmclone_operator.homecopy.source"
_MODULES = (
    "environment",
    "guard",
    "patterns",
    "signatures",
    "git_index",
    "judge",
    "screen",
    "folders",
    "listing",
    "scan",
    "send",
    "program",
)

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
"""The remote command's exit code when the source has no python3."""


@cache
def source_program() -> bytes:
    """Return the program with its length before it, as it is written to the remote command's input."""
    modules = [(f"{_PACKAGE}.{name}", _text(name)) for name in _MODULES]
    parts = _PACKAGE.split(".")
    packages = [".".join(parts[: depth + 1]) for depth in range(len(parts))]
    text = _LOADER.format(
        packages=repr(packages), modules=repr(json.dumps(modules)), main=repr(f"{_PACKAGE}.program")
    ).encode()
    return b"%d\n%b" % (len(text), text)


def _text(module: str) -> str:
    return files(_PACKAGE).joinpath(f"{module}.py").read_text(encoding="utf-8")
