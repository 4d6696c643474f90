"""Takes promtool, which judges metrics and alerts, out of Debian's package: nothing is installed or started."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vmclone_lab.commands import attempt, run
from vmclone_lab.errors import LabError
from vmclone_lab.progress import step

NAME, PACKAGE = "promtool", "prometheus"


def fetch(cache: Path) -> Path:
    """Return the program, downloaded unless it is cached; raises LabError when Debian has it not."""
    target = cache / "promtool-debian"
    if target.is_dir():
        return target / NAME
    with step(f"download {NAME}"):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f".{NAME}-") as folder:
            download = ["apt-get", "download", "-q", PACKAGE]
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            if attempt(download, env=env, cwd=Path(folder)).returncode != 0:
                run(["apt-get", "update", "-q"], env=env)
                run(download, env=env, cwd=Path(folder))
            (package,) = Path(folder).glob("*.deb")
            run(["dpkg-deb", "--extract", package, f"{folder}/root"])
            program = Path(folder) / "root" / "usr" / "bin" / NAME
            if not program.is_file():
                raise LabError(f"{package.name} has no usr/bin/{NAME}")
            output = Path(folder) / "out"
            output.mkdir()
            program.rename(output / NAME)
            output.rename(target)
    return target / NAME
