"""`hack/check` fails when a check fails or cannot run, and says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmclone_test.check import Step, describe, run, steps


def found(root: Path) -> dict[str, Step]:
    return {step.name: step for step in steps(root)}


@pytest.mark.parametrize(
    ("step", "passed", "shown"),
    [
        pytest.param(Step("x", ("true",)), True, "ok", id="a check that passes"),
        pytest.param(Step("x", ("sh", "-c", "echo why; exit 1")), False, "why", id="a failed check shows its output"),
        pytest.param(
            Step("x", ("./no-such-tool",)), False, "cannot run ./no-such-tool", id="a missing tool is a failure"
        ),
        pytest.param(Step("x", nothing="no chart yet"), True, "no chart yet", id="nothing to check yet"),
    ],
)
def test_a_step_reports(step: Step, passed: bool, shown: str, tmp_path: Path) -> None:
    outcome = run(step, tmp_path)
    assert outcome.passed is passed
    assert shown in describe(outcome)


def test_generators_may_be_missing_only_while_nothing_is_generated(tmp_path: Path) -> None:
    assert found(tmp_path)["schemas"].nothing == "no schemas yet"
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "a.yaml").touch()
    assert not run(found(tmp_path)["schemas"], tmp_path).passed


def test_a_chart_without_its_check_is_a_failure(tmp_path: Path) -> None:
    assert found(tmp_path)["chart"].nothing == "no chart yet"
    (tmp_path / "charts").mkdir()
    assert not run(found(tmp_path)["chart"], tmp_path).passed


def test_workflows_without_their_check_are_a_failure(tmp_path: Path) -> None:
    assert found(tmp_path)["workflows"].nothing == "no workflows yet"
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    assert not run(found(tmp_path)["workflows"], tmp_path).passed


DEAD = {
    "a link to no page": ("[a](gone.md)", "gone.md"),
    "a link to no heading": ("[a](#gone)", "gone"),
}


@pytest.mark.parametrize(("text", "shown"), DEAD.values(), ids=DEAD.keys())
def test_a_dead_link_fails_the_site(text: str, shown: str, tmp_path: Path) -> None:
    assert found(tmp_path)["docs site"].nothing == "no site yet"
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: x\nsite_dir: site\nvalidation: {links: {anchors: warn, not_found: warn}}\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Here\n\n{text}\n")
    outcome = run(found(tmp_path)["docs site"], tmp_path)
    assert not outcome.passed
    assert shown in outcome.output
