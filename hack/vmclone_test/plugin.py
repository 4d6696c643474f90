"""The pytest plugin that writes events; loaded by `hack/test` with `-p vmclone_test.plugin`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vmclone_test.events import record

if TYPE_CHECKING:
    import pytest

SHOWN_CHARACTERS = 600
"""How much of a failure's message goes into the closing table; all of it stands where pytest prints it."""


def pytest_configure(config: pytest.Config) -> None:
    """Leave a worker of pytest-xdist: the process that gathers the reports of all writes the events."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.unregister(sys.modules[__name__])


def pytest_runtest_logstart(nodeid: str) -> None:
    """Note which test runs, so that a hanging one has a name."""
    record({"started": nodeid})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how one phase (set-up, call, teardown) of a test ended."""
    record(
        {
            "test": report.nodeid,
            "phase": report.when,
            "outcome": report.outcome,
            "reason": reason(report),
            "seconds": report.duration,
        }
    )


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a module that cannot be collected or skips itself: its tests would be missing, not failing."""
    if report.outcome != "passed":
        record({"test": report.nodeid, "phase": "collect", "outcome": report.outcome, "reason": reason(report)})


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test was skipped or expected to fail, or in which phase it failed and how; empty for all others."""
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    if report.outcome == "failed" and crash is not None:
        return f"in its {report.when}: {' '.join(str(crash.message).split())[:SHOWN_CHARACTERS]}"
    return ""
