"""The public workflows run what hack/ has, with the least rights and nothing that a pull request could slip in.

They cannot be run here. Their syntax is judged by actionlint in `hack/check`; what actionlint cannot know is judged
here: that each command of ours exists and takes its words, and that rights, actions and hosts are on closed lists.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from vmclone_images import recipe
from vmclone_test.parts import NAMED

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*"))}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"]]
MORE_RIGHTS = {
    ("release.yaml", "publish"): {"attestations": "write", "contents": "write", "id-token": "write"},
    ("release.yaml", "images"): {"id-token": "write", "packages": "write"},
}
ACTIONS = re.compile(
    r"actions/(checkout|upload-artifact|download-artifact|attest-build-provenance)@(v\d+|[0-9a-f]{40})"
)
"""GitHub's own. A tag until somebody who can see the digest pins it."""
SAFE = re.compile(
    r"(github\.(ref_name|ref|repository|server_url|token|actor)|matrix\.part|vars\.REGISTRY|failure\(\)|always\(\))"
)
"""Expressions that hold no text of a pull request: neither its title nor its branch."""

each_job = pytest.mark.parametrize(("workflow", "job"), JOBS, ids=str)


def steps(workflow: str, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = WORKFLOWS[workflow]["jobs"][job]["steps"]
    return found


def scripts() -> Iterator[str]:
    for workflow, job in JOBS:
        yield from (step["run"] for step in steps(workflow, job) if "run" in step)


def commands() -> Iterator[list[str]]:
    """Return every command line of a workflow as words."""
    for script in scripts():
        yield from (shlex.split(line, comments=True) for line in script.splitlines() if line.strip())


OURS = [words for words in commands() if words and words[0].startswith(("hack/", ".ci/"))]


def texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_a_command_of_ours_exists_and_takes_its_flags(words: list[str]) -> None:
    program = ROOT / words[0]
    assert os.access(program, os.X_OK)
    module = {"hack/release": "vmclone_release", "hack/images/build": "vmclone_images"}.get(words[0])
    flags = [word for word in words[1:] if word.startswith("--")]
    if module is None:
        assert not flags, f"{words[0]} is not asked here for its flags"
        return
    told = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True).stdout
    assert not [flag for flag in flags if flag not in told]


def test_the_checks_run_every_part_of_the_tests_and_the_check() -> None:
    jobs = WORKFLOWS["checks.yaml"]["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["part"] == [part.name for part in NAMED]
    assert ["hack/test", "$PART"] in OURS
    assert ["hack/check"] in OURS
    parts = {words[1] for words in OURS if words[0] == "hack/test"} - {"$PART"}
    assert parts <= {part.name for part in NAMED}


def test_every_file_that_a_workflow_names_is_there() -> None:
    named = [word for words in commands() for word in words if re.match(r"(hack|charts|examples|crds|docs)/", word)]
    paths = [path.removesuffix("/**") for path in WORKFLOWS["kind.yaml"][True]["pull_request"]["paths"]]
    assert named
    assert not [path for path in (*named, *paths) if not (ROOT / path).exists()]


def test_the_images_are_all_made_and_their_contexts_are_used() -> None:
    for workflow in ("kind.yaml", "release.yaml"):
        text = (FOLDER / workflow).read_text(encoding="utf-8")
        assert not [name for name in recipe.ALL if f"--context dist/contexts/{name} {name}" not in text]
    loop = next(script for script in scripts() if "for name in" in script)
    assert re.findall(r"for name in (.*); do", loop) == [" ".join(recipe.ALL)]


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_may_read_the_code_and_nothing_else(workflow: str) -> None:
    assert WORKFLOWS[workflow]["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in WORKFLOWS[workflow][True]


@each_job
def test_a_job_has_only_the_rights_it_needs_and_an_end(workflow: str, job: str) -> None:
    wanted = WORKFLOWS[workflow]["jobs"][job]
    assert wanted.get("permissions", {}) == MORE_RIGHTS.get((workflow, job), {})
    assert 0 < wanted["timeout-minutes"] <= 75
    assert wanted["runs-on"] == "ubuntu-24.04", "a name that moves tests something else tomorrow"


@each_job
def test_actions_are_of_a_closed_list_and_leave_no_token_behind(workflow: str, job: str) -> None:
    used = [step for step in steps(workflow, job) if "uses" in step]
    assert not [step["uses"] for step in used if not ACTIONS.fullmatch(step["uses"])]
    checkouts = [step for step in used if step["uses"].startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_there_is_no_secret_and_no_text_of_a_stranger(workflow: str) -> None:
    text = (FOLDER / workflow).read_text(encoding="utf-8")
    assert "secrets." not in text
    found = re.findall(r"\$\{\{(.*?)\}\}", text) + re.findall(r"^\s*if: (.*)$", text, re.MULTILINE)
    assert not [expression for expression in found if SAFE.sub("", expression).strip(" !='")]


def test_no_expression_stands_in_a_script() -> None:
    assert not [script for script in scripts() if "${{" in script], "take it in by env: it is no part of the program"


def test_what_is_installed_is_of_one_version() -> None:
    installed = [words[2] for words in commands() if words[:2] == ["go", "install"]]
    assert installed
    assert not [module for module in installed if not re.search(r"@v\d+\.\d+\.\d+$", module)]


def test_the_release_signs_before_it_publishes_and_only_what_it_made() -> None:
    publish = [step.get("run", step.get("uses", "")) for step in steps("release.yaml", "publish")]
    order = [
        next(i for i, text in enumerate(publish) if mark in text) for mark in ("sha256sum", "cosign", "attest", "gh ")
    ]
    assert order == sorted(order)
    assert WORKFLOWS["release.yaml"]["jobs"]["publish"]["needs"] == "files"
    assert any(words[0] == "hack/release" and "--check" in words for words in OURS)


def test_kind_has_two_workers_for_the_two_operator_pods() -> None:
    cluster = yaml.safe_load((ROOT / "hack" / "kind.yaml").read_text(encoding="utf-8"))
    values = yaml.safe_load((ROOT / "charts/vmclone-operator/values.yaml").read_text(encoding="utf-8"))
    workers = [node for node in cluster["nodes"] if node["role"] == "worker"]
    assert len(workers) == values["replicaCount"]
    assert (cluster["kind"], cluster["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    loads = [words for words in commands() if words[1:2] == ["load"]]
    assert [words[-1] for words in loads] == [cluster["name"]]
