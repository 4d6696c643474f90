"""The kubectl and helm lines of install-with-helm.md are accepted as they stand, and name what the chart brings.

The page's namespaces are not those of these tests, so what kubectl would make or change is not kept. Of the helm lines
only the namespace is replaced. `helm install` alone is not carried out as it stands: its images would come from a
registry, and this checkout's are in none; the release is installed by the same words and the images' names.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.chart.release import NAMESPACE, UNINSTALL, apply, ask, do, namespace, read
from tests.support.doc_commands import ROOT, commands_of, run_as_typed

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("installed")]
PAGE = ROOT / "docs" / "how-to" / "install-with-helm.md"
LINES = [command for command in commands_of(PAGE) if command.startswith("kubectl ")]
HELM = [command for command in commands_of(PAGE) if command.startswith("helm ")]
REMOVES = "helm uninstall "
NAMESPACES = ("vmclone-system", "team-a")
READS = ("kubectl get ", "kubectl describe ")
ACCOUNT_SECONDS = 30


@pytest.fixture(scope="module")
def places() -> Iterator[None]:
    """Make the namespaces of the page that are not there, and wait for the account that each gets by itself."""
    made = [name for name in NAMESPACES if ask("kubectl", "get", "namespace", name).status != 0]
    for name in made:
        assert apply(namespace(name)).status == 0
    deadline = time.monotonic() + ACCOUNT_SECONDS
    while ask("kubectl", "-n", NAMESPACES[0], "get", "serviceaccount", "default").status != 0:
        assert time.monotonic() < deadline, "the namespace has no ServiceAccount default"
        time.sleep(0.2)
    yield
    if made:
        do("kubectl", "delete", "namespace", *made, "--timeout=60s")


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("line", LINES)
def test_a_kubectl_line_of_the_page_is_accepted_as_it_stands(line: str, tmp_path: Path) -> None:
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (tmp_path / name).write_text("x")
    typed = line if line.startswith(READS) else f"{line} --dry-run=server"
    assert run_as_typed(typed, folder=tmp_path)


@pytest.mark.parametrize("line", [line for line in HELM if not line.startswith(REMOVES)])
def test_a_helm_line_of_the_page_works_on_the_release(line: str) -> None:
    typed = line.replace(NAMESPACES[0], NAMESPACE)
    # The chart as these values leave it: an upgrade without any keeps those of the release.
    assert run_as_typed(f"{line} --dry-run=client" if line.startswith("helm install ") else typed, folder=ROOT)


def test_the_page_removes_the_release_in_the_words_of_the_test_that_does() -> None:
    (line,) = (line for line in HELM if line.startswith(REMOVES))
    assert line.replace(NAMESPACES[0], NAMESPACE).split() == list(UNINSTALL)


def test_the_page_has_lines_that_make_change_and_read() -> None:
    verbs = {verb for verb in ("create", "patch", "get") for line in LINES if f" {verb} " in line}
    assert verbs == {"create", "patch", "get"}


def test_the_names_on_the_page_are_those_that_the_chart_gives() -> None:
    text = "\n".join(LINES)
    assert "--clusterrole=vmclone-user-secrets " in text
    assert read("clusterrole", "vmclone-user-secrets")["rules"]
    assert "--serviceaccount=vmclone-system:vmclone-vmclone-operator" in text
    assert read("serviceaccount", "vmclone-vmclone-operator", "-n", NAMESPACE)["metadata"]["name"]
