"""Runs one part: brings up what it needs of the lab, runs pytest there, keeps the logs when it fails."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vmclone_lab.errors import LabError
from vmclone_lab.layout import Layout
from vmclone_lab.packages import ensure
from vmclone_test import events, logs, parts, processes, summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vmclone_test.parts import Part
    from vmclone_test.summary import PartResult


@dataclass
class Run:
    """One call of `hack/test`: where it works, and whether the lab is still worth a try."""

    root: Path
    pytest_arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    lab_failed: bool = False

    def part(self, part: Part) -> PartResult:
        """Run a part and return what it proved."""
        if not parts.has_tests(self.root, part):
            return summary.PartResult(part.name, note="no tests yet: its folder does not exist")
        say(f"=== {part.name}")
        started = time.monotonic()
        problem = self._set_up(part)
        result = summary.PartResult(part.name, failed=(problem,)) if problem else self._pytest(part)
        result = replace(result, seconds=time.monotonic() - started)
        if result.failed:
            self._show_logs(part)
        return result

    def lab(self, *arguments: str, deadline_seconds: float = parts.LAB_UP_SECONDS) -> int:
        """Run `hack/lab` and return its exit status."""
        argv = [str(self.root / "hack" / "lab"), *arguments]
        return processes.run(argv, deadline_seconds=deadline_seconds, env=self.environment)

    def _set_up(self, part: Part) -> str:
        """Install what a part needs and bring up the lab for it; return a sentence when that failed."""
        try:
            ensure(part.packages)
        except LabError as error:
            return f"the packages {', '.join(part.packages)} could not be installed: {error}"
        if part.lab is None:
            return ""
        if self.lab_failed:
            return "not run: the lab did not come up for an earlier part"
        status = self.lab("up", *part.lab)
        self.lab_failed = status != 0
        return f"`hack/lab up` ended with status {status}" if status else self._prepare(part)

    def _prepare(self, part: Part) -> str:
        """Make what the tests use and cannot make inside the lab; not for a selection of other tests."""
        if self.pytest_arguments and not any(
            folder in argument for argument in self.pytest_arguments for folder in parts.NEED_PREPARATION
        ):
            return ""
        for command, *words in part.prepare:
            argv = [str(self.root / command), *words]
            status = processes.run(argv, deadline_seconds=parts.PREPARE_SECONDS, env=self.environment)
            if status:
                return f"`{command}` ended with status {status}"
        return ""

    def _pytest(self, part: Part) -> PartResult:
        """Run the part's tests and summarize their events."""
        folder = self._logs_folder(part)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        file = folder / "events.jsonl"
        env = {**self.environment, events.EVENTS_VARIABLE: str(file), events.LOGS_VARIABLE: str(folder)}
        started = time.monotonic()
        status = processes.run(self._argv(part), deadline_seconds=part.deadline_seconds, env=env)
        if status == summary.NO_TESTS_COLLECTED and self.pytest_arguments:
            status = 0  # the user's own selection left this part empty; the whole run must not be
        return summary.summarize(part.name, events.read(file), exit_status=status, seconds=time.monotonic() - started)

    def _argv(self, part: Part) -> Sequence[str]:
        named = any(argument.startswith("tests/") for argument in self.pytest_arguments)
        folders = [] if named else [folder for folder in part.folders if (self.root / folder).exists()]
        pytest = [sys.executable, "-m", "pytest", "-p", "vmclone_test.plugin", "-m", part.marker]
        if part.workers and not self.pytest_arguments:
            # Contiguous halves keep what a module shares on one worker; who is done first takes from the other.
            pytest += ["-n", str(part.workers), "--dist", "worksteal"]
        inside = [] if part.lab is None else [str(self.root / "hack" / "lab"), "exec", "--"]
        return [*inside, *pytest, *folders, *self.pytest_arguments]

    def _logs_folder(self, part: Part) -> Path:
        return self.root / "build" / "test" / part.name

    def _show_logs(self, part: Part) -> None:
        folder = self._logs_folder(part)
        if part.lab is not None:
            logs.keep(Layout.from_environment(self.environment).logs, folder)
        say(f"logs of {part.name}: {folder}\n{logs.tails(folder)}")


def say(text: str) -> None:
    """Print at once: the output of the programs we start must stand at its place."""
    print(text, flush=True)
