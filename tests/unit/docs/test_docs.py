"""Documentation that points nowhere is worse than none: links resolve, and commands exist."""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.explained import explained, unexplained

from vmclone_operator.domain import errors
from vmclone_operator.domain.steps import Step
from vmclone_operator.kube.cluster import Kind

ROOT = Path(__file__).resolve().parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+).+?\1")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
EXPLICIT_ANCHOR = re.compile(r'<a id="([^"]+)">')
DECISIONS = {"wait": 1, "waits_in_line": 1, "act": 2, "stalled": 1}
"""Functions of domain/steps.py, and which of their words is the reason."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def without_code(text: str) -> str:
    return INLINE_CODE.sub("", FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Return what a link into the page may name, by the rule of common Markdown renderers."""
    headings = (
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(FENCE.sub("", text))
    )
    return {*headings, *EXPLICIT_ANCHOR.findall(text)}


def broken_links(page: Path, text: str) -> Iterator[str]:
    for link in LINK.findall(without_code(text)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(text if target == page else target.read_text(encoding="utf-8")):
            yield f"{link}: no such heading"


def commands(text: str) -> Iterator[str]:
    """Return the first word of every command line in a shell block."""
    for language, block in FENCE.findall(text):
        if language not in {"console", "sh", "bash"}:
            continue
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ ").removeprefix("# "), comments=True) if line.strip() else []
            yield from words[:1]


@each_page
def test_every_relative_link_resolves(page: Path) -> None:
    assert not list(broken_links(page, page.read_text(encoding="utf-8")))


@each_page
def test_every_command_of_ours_exists(page: Path) -> None:
    ours = [word for word in commands(page.read_text(encoding="utf-8")) if word.startswith(("hack/", ".ci/"))]
    assert not [word for word in ours if not os.access(ROOT / word, os.X_OK)]


def reasons(error: type[errors.CloneError]) -> set[str]:
    return {error.reason}.union(*(reasons(kind) for kind in error.__subclasses__()))


def test_every_reason_of_an_error_is_explained() -> None:
    explained = anchors((ROOT / "docs/reference/conditions.md").read_text(encoding="utf-8"))
    assert not [reason for reason in sorted(reasons(errors.CloneError)) if reason.lower() not in explained]


def literal_reasons(code: str) -> set[str]:
    """Return every text that code gives as the `reason` of a condition, a finding or an Event.

    The `step` of a Readiness is the reason of Reconciling, and a decision's word is that of Ready.
    """
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    named = [word.value for call in calls for word in call.keywords if word.arg in {"reason", "step"}]
    decided = [word for call in calls for word in call.args[DECISIONS.get(called(call), len(call.args)) :][:1]]
    texts = (value.value for value in (*named, *decided) if isinstance(value, ast.Constant))
    return {text for text in texts if isinstance(text, str)} - {""}


def called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def test_every_reason_that_the_code_names_is_explained() -> None:
    explained = anchors((ROOT / "docs/reference/conditions.md").read_text(encoding="utf-8"))
    modules = (ROOT / "operator").rglob("*.py")
    named = set().union(*(literal_reasons(module.read_text(encoding="utf-8")) for module in modules))
    assert len(named) > 20
    assert not [reason for reason in sorted(named) if reason.lower() not in explained]


def test_every_step_is_explained_for_it_is_the_reason_of_reconciling() -> None:
    assert not [step.value for step in Step if step.value not in explained()]


def test_a_reason_that_no_page_explains_would_be_found_wherever_it_is_written() -> None:
    code = 'Readiness(step="A")\nact(Do.X, Step.Y, "B", "told")\nput(reason="C", message="told")\n'
    assert literal_reasons(code) == {"A", "B", "C"}
    ready = {"status": {"conditions": [{"type": "Ready", "reason": "AllReady"}, {"type": "Own", "reason": "Unheard"}]}}
    assert unexplained(Kind.VMCLONE, ready) == ["Unheard"]
    about = {"regarding": {"apiVersion": "vmclone.dev/v1alpha1"}}
    assert unexplained(Kind.EVENT, {**about, "reason": "Unheard"}) == ["Unheard"]
    assert not unexplained(Kind.EVENT, {"regarding": {"apiVersion": "v1"}, "reason": "FailedScheduling"})
    assert not unexplained(Kind.POD, ready)


def test_a_broken_link_would_be_found() -> None:
    text = "[a](no-such-file.md) [b](#no-such-heading) [c](#here) [d](test_docs.py)\n# Here\n"
    assert list(broken_links(Path(__file__), text)) == [
        "no-such-file.md: no such file",
        "#no-such-heading: no such heading",
    ]


def test_a_command_in_a_shell_block_would_be_found() -> None:
    text = "```console\n$ hack/nothing --now\nits output\n```\n```yaml\nhack/other: 1\n```\n"
    assert list(commands(text)) == ["hack/nothing", "its"]
