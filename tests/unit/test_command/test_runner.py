"""`hack/test` runs real pytest processes; here on tiny projects, with a stand-in for the lab's command."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from vmclone_test import cli, parts, processes
from vmclone_test.runner import Run

LAB = """#!/bin/sh
echo "$@" >> {calls}
case $1 in
  up) exit {status} ;;
  exec) shift 2; exec "$@" ;;
esac
"""


def project(root: Path, test: str, *, lab_status: int = 0) -> Run:
    """Return a run over a checkout with one test in every folder and a lab command that notes its calls."""
    for folder in ("tests/unit", "tests/e2e"):
        (root / folder).mkdir(parents=True)
        (root / folder / "test_one.py").write_text(test)
    (root / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    (root / "hack").mkdir()
    lab = root / "hack" / "lab"
    lab.write_text(LAB.format(calls=root / "calls", status=lab_status))
    lab.chmod(0o755)
    return Run(root, environment={**os.environ, "VMCLONE_LAB_STATE": str(root / "lab")}, pytest_arguments=("-q",))


@pytest.fixture
def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_part_without_lab_never_touches_it(in_project: Path) -> None:
    result = project(in_project, "def test_a(): pass").part(parts.UNIT)
    assert (result.passed, result.failed) == (1, ())
    assert not (in_project / "calls").exists()


def test_a_named_test_file_is_run_instead_of_the_whole_part(in_project: Path) -> None:
    run = project(in_project, "def test_a(): pass")
    (in_project / "tests/unit/test_two.py").write_text("def test_b(): pass")
    run.pytest_arguments = ("tests/unit/test_two.py",)
    assert run.part(parts.UNIT).passed == 1


def test_a_part_with_lab_brings_it_up_and_runs_inside(in_project: Path) -> None:
    result = project(in_project, "def test_a(): pass").part(parts.E2E)
    assert result.passed == 1
    calls = (in_project / "calls").read_text().splitlines()
    assert calls[0] == "up"
    assert calls[1].startswith("exec -- ")


def test_a_lab_that_does_not_come_up_fails_the_part_and_is_tried_once(in_project: Path) -> None:
    run = project(in_project, "def test_a(): pass", lab_status=3)
    assert run.part(parts.E2E).failed == ("`hack/lab up` ended with status 3",)
    assert run.part(parts.E2E).failed == ("not run: the lab did not come up for an earlier part",)
    assert (in_project / "calls").read_text() == "up\n"


def test_boots_counted_by_a_session_fixture_reach_the_result(in_project: Path) -> None:
    test = "from vmclone_test.events import record_boots\ndef test_a(): record_boots(2)"
    assert project(in_project, test).part(parts.UNIT).boots == 2


def test_logs_of_a_failed_part_are_kept_and_the_operators_is_shown(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = project(in_project, "def test_a(): assert False")
    (in_project / "lab" / "logs").mkdir(parents=True)
    (in_project / "lab" / "logs" / "operator.log").write_text("the cause\n")
    assert run.part(parts.E2E).failed == ("tests/e2e/test_one.py::test_a in its call: assert False",)
    assert "the cause" in capsys.readouterr().out
    assert (in_project / "build/test/e2e/operator.log").exists()


def test_a_part_whose_folder_does_not_exist_yet_says_so(in_project: Path) -> None:
    result = project(in_project, "").part(parts.INTEGRATION)
    assert (result.failed, result.note) == ((), "no tests yet: its folder does not exist")


@pytest.mark.parametrize("interrupts", [signal.default_int_handler, signal.SIG_IGN], ids=["heard", "ignored by us"])
def test_a_hanging_program_is_ended_at_its_deadline(interrupts: Any) -> None:
    before, started = signal.signal(signal.SIGINT, interrupts), time.monotonic()
    try:
        assert processes.run(["sleep", "60"], deadline_seconds=0.1) == processes.TIMED_OUT
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 10


def test_a_test_folder_that_no_part_runs_is_found(tmp_path: Path) -> None:
    for folder in ("unit", "elsewhere/deep"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / "test_a.py").touch()
    assert parts.homeless_folders(tmp_path) == ["tests/elsewhere"]


@pytest.mark.parametrize(
    ("arguments", "names", "rest"),
    [
        pytest.param(
            [],
            ["unit", "behaviour", "crash", "contract", "integration", "e2e", "lab_down"],
            (),
            id="all without a choice",
        ),
        pytest.param(["e2e", "unit"], ["unit", "e2e"], (), id="cheap parts first, whatever the order"),
        pytest.param(["fleet"], ["fleet"], (), id="what is run by hand only when it is named"),
        pytest.param(["more"], ["more"], (), id="slow repeats only when they are asked for"),
        pytest.param(["upgrade"], ["upgrade"], (), id="an upgrade only where there is a release to begin from"),
        pytest.param(["argocd"], ["argocd"], (), id="what compiles Argo CD only when it is asked for"),
        pytest.param(["unit", "-k", "unit"], ["unit"], ("-k", "unit"), id="the rest goes to pytest"),
        pytest.param(
            ["tests/crash/test_a.py", "-x"], ["crash"], ("tests/crash/test_a.py", "-x"), id="a path chooses its part"
        ),
        pytest.param(["tests/e2e"], ["e2e"], ("tests/e2e",), id="a folder of two parts is that of every run"),
        pytest.param(
            ["-x"],
            ["unit", "behaviour", "crash", "contract", "integration", "e2e", "lab_down"],
            ("-x",),
            id="an option alone runs all",
        ),
    ],
)
def test_the_command_line_chooses(arguments: list[str], names: list[str], rest: tuple[str, ...]) -> None:
    chosen, pytest_arguments = parts.choose(arguments)
    assert ([part.name for part in chosen], pytest_arguments) == (names, rest)


def test_a_word_that_names_no_part_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["unti"]) == 2
    assert "hack/test has no part 'unti': name unit, behaviour," in capsys.readouterr().out


def test_help_names_every_part_and_what_it_proves(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    for part in (*parts.NAMED, *parts.BY_HAND):
        assert part.does
        assert f"{part.name:<12} {part.does}" in told
