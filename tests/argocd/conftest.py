"""Argo CD's own tests of health scripts and actions, compiled with our folder in place of all of its own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.truth_table.readers import ROOT

from vmclone_lab.commands import run
from vmclone_lab.gotools import TOOLS, copy_source, find_go, go_environment

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
    tree = copy_source(TOOLS["argocd"], go, tmp_path_factory.mktemp("argo-cd") / "tree")
    for others in (path for path in (tree / SCRIPTS).iterdir() if path.is_dir()):
        shutil.rmtree(others)  # so that what is counted is ours
    shutil.copytree(ROOT / "hack" / "argocd" / SCRIPTS, tree / SCRIPTS, dirs_exist_ok=True)
    program = tree / "lua.test"
    run([go, "test", "-c", "-trimpath", "-o", str(program), f"./{TESTED}"], env=go_environment(go), cwd=tree)
    return Harness(program, tree)
