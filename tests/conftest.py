"""What every test may use: counting boots, and a folder whose logs outlive a failed run."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vmclone_test.events import LOGS_VARIABLE, record_boots


def pytest_collection_finish() -> None:
    """Leave out of every later collection of garbage what lives as long as the run: modules and thousands of tests."""
    gc.freeze()


@pytest.fixture(scope="session")
def count_boots() -> Callable[[int], None]:
    """Tell `hack/test` how many guests were booted; also for session fixtures that boot a source."""
    return record_boots


@pytest.fixture(scope="session")
def logs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where started programs write `<name>.log`; `operator*.log` is shown when a part fails."""
    folder = os.environ.get(LOGS_VARIABLE)
    return Path(folder) if folder else tmp_path_factory.mktemp("logs")
