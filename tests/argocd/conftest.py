"""Argo CD's own tests of health scripts and actions, compiled with our folder in place of all of its own."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.truth_table.readers import ROOT

from vmclone_lab.commands import run
from vmclone_lab.gotools import GOBUILD, find_go, go_environment

MODULE = "github.com/argoproj/argo-cd/v3"
SCRIPTS = "resource_customizations"
TESTED = Path("util") / "lua"


@dataclass(frozen=True, slots=True)
class Harness:
    """The compiled tests, and the tree in which they look for scripts and expectations."""

    program: Path
    tree: Path


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """Compile the tests of `util/lua`; minutes the first time, then Go's own cache has nearly all of it.

    The sum of the module's source is pinned here, and those of all that it is built with in its own go.sum.
    """
    go = find_go()
    environment = go_environment(go)
    answer = run([go, "mod", "download", "-json", MODULE], env=environment, cwd=GOBUILD / "argocd")
    tree = tmp_path_factory.mktemp("argo-cd")
    shutil.copytree(json.loads(answer)["Dir"], tree, dirs_exist_ok=True, ignore=_without, copy_function=shutil.copyfile)
    for folder in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # those of the module cache are read-only
    shutil.copytree(ROOT / "hack" / "argocd" / SCRIPTS, tree / SCRIPTS, dirs_exist_ok=True)
    program = tree / "lua.test"
    run([go, "test", "-c", "-trimpath", "-o", str(program), f"./{TESTED}"], env=environment, cwd=tree)
    return Harness(program, tree)


def _without(folder: str, names: list[str]) -> list[str]:
    """Leave out the scripts of others, so that what is counted is ours."""
    return [name for name in names if name != "embed.go"] if Path(folder).name == SCRIPTS else []
