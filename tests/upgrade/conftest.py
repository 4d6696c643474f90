"""An earlier release beside this checkout: its code and its CRDs, unpacked from git."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.integration.leaders.conftest import audit_log, place, start
from tests.integration.leaders.operators import ROOT

__all__ = ["audit_log", "place", "start"]
NAMED_BY = "VMCLONE_UPGRADE_FROM"


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True).stdout


def last_release() -> str:
    """Return the commit or tag to upgrade from, empty when nobody names one and there is no tag."""
    tags = git("tag", "--list", "v*", "--sort=-version:refname", "--no-contains", "HEAD").decode().split()
    return os.environ.get(NAMED_BY) or (tags[0] if tags else "")


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the earlier release as it was checked in."""
    release = last_release()
    if not release:
        pytest.fail(f"there is no tag v* to upgrade from: name a commit by {NAMED_BY}")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(git("archive", release, "operator", "crds", "tests"))) as archive:
        archive.extractall(folder, filter="data")
    return folder
