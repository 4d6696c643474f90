"""`hack/release`: makes every file of a release from the commit that is checked out."""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import yaml

from vmclone_chart.rendered import CHART, ROOT, helm
from vmclone_images import build, recipe
from vmclone_operator import __version__
from vmclone_plugin.__main__ import build as build_plugin
from vmclone_release.archive import chart_archive, folder_archive
from vmclone_release.documents import ReleaseError, bill_of_materials, checksums, notes, one_version

NAMESPACE = "vmclone-system"
SUMS = "SHA256SUMS"


def main() -> int:
    """Make the files, or make them twice and compare; return the exit status."""
    parser = argparse.ArgumentParser(prog="hack/release", description="Make the files of a release.")
    parser.add_argument("--into", type=Path, default=ROOT / "dist" / "release", help="the folder, which is emptied")
    parser.add_argument("--base-url", default="https://example.com", help="where you serve the plugin's archive")
    parser.add_argument("--dirty", action="store_true", help="let uncommitted changes in, to try it")
    parser.add_argument("--images", action="store_true", help="make both images, too, as OCI archives (minutes)")
    parser.add_argument("--check", action="store_true", help="make them twice and compare")
    given = parser.parse_args()
    try:
        wish = Wish(base_url=given.base_url, dirty=given.dirty, images=given.images)
        make(given.into, wish)
        different = _made_again(given.into, wish) if given.check else []
    except ReleaseError as error:
        sys.exit(f"hack/release: {error}")
    print((given.into / SUMS).read_text(encoding="utf-8"), end="")
    for name in different:
        print(f"{name} differs when it is made again")
    return int(bool(different))


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    base_url: str
    """Where the plugin's archive is served."""
    dirty: bool
    images: bool


def make(folder: Path, wish: Wish) -> None:
    """Make all files in a folder; raises ReleaseError when what is checked in does not make a release."""
    if not wish.dirty and _git("status", "--porcelain"):
        raise ReleaseError("there are uncommitted changes: commit them, or try it with --dirty")
    version, moment = _version(), int(_git("log", "-1", "--format=%ct"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _python_packages(folder, moment)
    build_plugin(folder, base_url=wish.base_url)
    archive = chart_archive(CHART, moment=moment, left_out=_ignored)
    (folder / f"{CHART.name}-{version}.tgz").write_bytes(archive)
    texts = {
        "install.yaml": _manifest(),
        "crds.yaml": "".join(f"---\n{path.read_text(encoding='utf-8')}" for path in sorted(ROOT.glob("crds/*.yaml"))),
        "sbom.cdx.json": bill_of_materials(
            (ROOT / "requirements-runtime.lock").read_text(encoding="utf-8"),
            name="vmclone-operator",
            version=version,
            moment=moment,
        ),
        "RELEASE_NOTES.md": notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    if wish.images:
        _images(folder, version, moment)
    (folder / SUMS).write_text(checksums({path.name: _digest(path) for path in folder.iterdir()}), encoding="utf-8")


def _images(folder: Path, version: str, moment: int) -> None:
    """Make each image as one file that `skopeo copy oci-archive:` and `ctr images import` read."""
    for image in recipe.ALL.values():
        with tempfile.TemporaryDirectory() as name:
            build.oci_layout(build.cache_folder(), image, version, moment=moment, into=Path(name))
            folder_archive(Path(name), folder / f"vmclone-{image.name}-{version}.oci.tar", moment=moment)


def _made_again(folder: Path, wish: Wish) -> list[str]:
    """Make the files once more, and return the names of those that are not the same."""
    with tempfile.TemporaryDirectory() as name:
        again = Path(name) / "release"
        make(again, wish)
        names = {path.name for one in (folder, again) for path in one.iterdir()} - {SUMS}
        return sorted(file for file in names if _digest(folder / file) != _digest(again / file))


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex, or nothing when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    named = {
        "pyproject.toml": project["version"],
        "the operator": __version__,
        "Chart.yaml (version)": chart["version"],
        "Chart.yaml (appVersion)": str(chart["appVersion"]),
    }
    tags = [tag.removeprefix("v") for tag in _git("tag", "--points-at", "HEAD").split() if tag.startswith("v")]
    return one_version(named | {f"the tag v{tag}": tag for tag in tags})


def _python_packages(folder: Path, moment: int) -> None:
    """Make wheel and sdist; the build takes times from SOURCE_DATE_EPOCH."""
    command = ["uv", "build", "--quiet", "--wheel", "--sdist", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(moment)})
    (folder / ".gitignore").unlink(missing_ok=True)


def _manifest() -> str:
    """Return the chart's defaults for `kubectl apply --server-side`, with the namespace and without Helm's hooks."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    rendered = helm("template", "vmclone", str(CHART), "--namespace", NAMESPACE, "--no-hooks")
    return f"---\n{yaml.safe_dump(namespace, sort_keys=False)}{rendered}"


def _ignored(name: str) -> bool:
    patterns = [line.strip() for line in (CHART / ".helmignore").read_text(encoding="utf-8").splitlines()]
    wanted = [pattern for pattern in patterns if pattern and not pattern.startswith("#")]
    return any(fnmatch.fnmatch(part, pattern) for pattern in wanted for part in Path(name).parts)


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
