"""Has `plot.py` draw: nothing else needs matplotlib, so it has an environment of its own, made when it is asked for.

The environment lies in the cache under the name of what it holds, as that of `hack/_env.sh` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vmclone_bench.record import Record

_HERE = Path(__file__).resolve().parent
_LOCK = _HERE / "plot.lock"


def draw(results: Sequence[Record], folder: Path) -> None:
    """Write a picture of each result into a folder."""
    with tempfile.TemporaryDirectory() as place:
        given = Path(place) / "results.json"
        given.write_text(json.dumps(results))
        subprocess.run([_interpreter(), str(_HERE / "plot.py"), str(given), str(folder)], check=True)


def _interpreter() -> str:
    """Return a Python that has what `plot.lock` names."""
    usual = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("VMCLONE_CACHE") or Path(usual) / "vmclone")
    home = cache / f"plots-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]}"
    python = home / "bin/python"
    if not (home / ".complete").exists():
        subprocess.run(["uv", "venv", "-q", "--clear", str(home)], check=True)
        install = ["uv", "pip", "install", "-q", "--python", str(python), "--require-hashes", "-r", str(_LOCK)]
        subprocess.run(install, check=True)
        (home / ".complete").touch()
    return str(python)
