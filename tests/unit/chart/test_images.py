"""The image holds what the lock says and nothing of the development tools; its name follows its contents."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from vmclone_images import recipe
from vmclone_operator import __version__

ROOT = Path(__file__).parents[3]


def pins(path: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+==[^\s\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_runtime_lock_is_a_part_of_the_whole_one() -> None:
    runtime, whole = pins(recipe.RUNTIME_LOCK), pins(ROOT / "requirements.lock")
    assert runtime
    assert runtime <= whole
    assert not {pin for pin in runtime if pin.startswith(("pytest", "mypy", "ruff", "import-linter"))}


def test_every_dependency_of_the_operator_is_in_the_runtime_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    locked = {pin.partition("==")[0] for pin in pins(recipe.RUNTIME_LOCK)}
    assert {re.split(r"[<>=]", name)[0].lower() for name in named} <= locked


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = (ROOT / "charts/vmclone-operator/Chart.yaml").read_text(encoding="utf-8")
    assert project["version"] == __version__
    assert set(re.findall(r"^(?:version|appVersion): (\S+)$", chart, re.MULTILINE)) == {__version__}


def test_an_image_is_named_by_what_it_is_made_of() -> None:
    assert recipe.image() == recipe.image()
    assert re.fullmatch(r"vmclone\.local/vmclone-operator:[0-9a-f]{12}", recipe.image())
    assert ROOT / "operator/vmclone_operator/main.py" in recipe.sources()
    assert recipe.digest(b"a", b"b") != recipe.digest(b"ab")


def test_the_last_stage_has_no_compiler_and_no_rights() -> None:
    last = (recipe.OPERATOR / "Containerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    assert "gcc" not in last
    assert "USER 65532:65532" in last
