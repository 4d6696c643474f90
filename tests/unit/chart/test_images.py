"""The images hold what they need and nothing of the development tools; their names follow their contents."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vmclone_images import build, recipe
from vmclone_operator import __version__

ROOT = Path(__file__).parents[3]


LEFT_OUT = {"plugin"}
"""Extras of another program: the operator's image goes without."""


def pins(path: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+==[^\s\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_runtime_lock_is_a_part_of_the_whole_one() -> None:
    runtime, whole = pins(recipe.RUNTIME_LOCK), pins(ROOT / "requirements.lock")
    assert runtime
    assert runtime <= whole
    assert not {pin for pin in runtime if pin.startswith(("pytest", "mypy", "ruff", "import-linter"))}


def test_every_dependency_of_the_operator_is_in_the_runtime_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: extra for name, extra in project["optional-dependencies"].items() if name not in LEFT_OUT}
    named = [*project["dependencies"], *(dependency for extra in extras.values() for dependency in extra)]
    locked = {pin.partition("==")[0] for pin in pins(recipe.RUNTIME_LOCK)}
    assert {re.split(r"[<>=]", name)[0].lower() for name in named} <= locked


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = (ROOT / "charts/vmclone-operator/Chart.yaml").read_text(encoding="utf-8")
    assert project["version"] == __version__
    assert set(re.findall(r"^(?:version|appVersion): (\S+)$", chart, re.MULTILINE)) == {__version__}


@pytest.mark.parametrize("name", recipe.ALL)
def test_an_image_is_named_by_what_it_is_made_of(name: str) -> None:
    made = recipe.ALL[name]
    assert made.image == made.image
    assert re.fullmatch(rf"vmclone\.local/vmclone-{name}:[0-9a-f]{{12}}", made.image)
    assert recipe.digest(b"a", b"b") != recipe.digest(b"ab")


def test_an_image_keeps_the_name_it_was_asked_for_by(tmp_path: Path) -> None:
    """Sources that change while it is made must not give it another name than the caller has."""
    ready = tmp_path / "image-home-copy-0123456789ab.tar"
    ready.touch()
    image = "vmclone.local/vmclone-home-copy:0123456789ab"
    assert build.archive(tmp_path, recipe.HOME_COPY, image) == ready


def test_the_image_of_the_copies_holds_the_relay_and_nothing_of_the_operator() -> None:
    assert ROOT / "operator/vmclone_operator/main.py" in recipe.OPERATOR.sources()
    held = {path.relative_to(recipe.PACKAGE).parts[0] for path in recipe.HOME_COPY.sources()}
    assert held == {"__init__.py", "homecopy"}


def test_the_relay_starts_with_what_its_image_holds(tmp_path: Path) -> None:
    build.write_context(tmp_path / "context", recipe.HOME_COPY, cache=tmp_path)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import vmclone_operator.homecopy.relay as r; print(r.__file__)"
    argv = [sys.executable, "-I", "-S", "-c", code, str(tmp_path / "context")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))


@pytest.mark.parametrize("name", recipe.ALL)
def test_the_last_stage_has_no_compiler_and_no_rights(name: str) -> None:
    last = recipe.ALL[name].containerfile.read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    assert "gcc" not in last
    assert "USER 65532:65532" in last


@pytest.mark.parametrize("name", recipe.ALL)
def test_a_public_base_gets_the_same_packages(name: str) -> None:
    last = recipe.ALL[name].containerfile.read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    installed = set(re.findall(r'ARG PACKAGES="([^"]+)"', last)[0].split())
    # What only the first stage needs is in our own base, too: both stages are built on it.
    assert set(recipe.ALL[name].packages) - installed <= {"python3-venv"}
