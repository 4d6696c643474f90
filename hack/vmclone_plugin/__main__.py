"""hack/plugin/build: installs the locked packages beside ours, packs them, prints what it made."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from vmclone_plugin import krew, zipapp

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "operator" / "vmclone_kubectl"
START = "from vmclone_kubectl.app import main\n\nmain()\n"


def build(folder: Path, *, base_url: str) -> list[Path]:
    """Make the program, its archive and its manifest in the folder, and return their paths."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    program = folder / krew.PROGRAM
    with tempfile.TemporaryDirectory() as name:
        content = Path(name) / "content"
        _install(project["optional-dependencies"]["plugin"], content, Path(name) / "plugin.lock")
        shutil.copytree(PACKAGE, content / PACKAGE.name)
        (content / "__main__.py").write_text(START, encoding="utf-8")
        zipapp.pack(content, program)
    packed = folder / f"{krew.PROGRAM}.tar.gz"
    digest = krew.archive(program, ROOT / "LICENSE", packed)
    manifest = folder / f"{krew.NAME}.yaml"
    url = f"{base_url.rstrip('/')}/{packed.name}"
    manifest.write_text(krew.manifest(version=project["version"], url=url, digest=digest), encoding="utf-8")
    return [program, packed, manifest]


def _install(wanted: Sequence[str], content: Path, lock: Path) -> None:
    """Install what the plugin needs, at the versions and hashes of the lock file."""
    constraint = f"--constraint={ROOT / 'requirements.lock'}"
    compiled = [
        "uv",
        "pip",
        "compile",
        "-q",
        "--python-version",
        "3.11",
        "--universal",
        "--generate-hashes",
        constraint,
    ]
    subprocess.run([*compiled, "-", "-o", str(lock)], input="\n".join(wanted), text=True, check=True)
    install = ["uv", "pip", "install", "-q", "--require-hashes", "--python", sys.executable, "--target", str(content)]
    subprocess.run([*install, "-r", str(lock)], check=True)


def main() -> int:
    """Build as the command line says."""
    parser = argparse.ArgumentParser(prog="hack/plugin/build", description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder to write to")
    parser.add_argument(
        "--base-url", default="https://example.invalid/releases", help="where the archive will be served"
    )
    options = parser.parse_args()
    for path in build(options.into, base_url=options.base_url):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
