"""No command in the documentation is there untried: each is run as it stands, or by a test that is named here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.doc_commands import PAGES, ROOT, commands_of

RUN_AS_THEY_STAND = {
    "docs/tutorials/first-clones.md": "tests/e2e/test_1b_docs.py",
    "docs/how-to/add-a-backend.md": "tests/e2e/test_1b_docs.py",
    "docs/how-to/add-a-source.md": "tests/e2e/test_1b_docs.py",
    "docs/how-to/use-with-argo-cd.md": "tests/integration/truth_table",
    "docs/how-to/restore-from-a-backup.md": "tests/integration/leaders",
}
"""Pages whose commands a test reads from the page and runs in order."""

RUN_IN_PART_AS_THEY_STAND = {
    "docs/how-to/install-with-helm.md": (("kubectl ", "helm "), "tests/integration/chart/test_1_page.py"),
    "docs/runbooks": (("kubectl get", "kubectl describe", "kubectl -n"), "tests/integration/chart/test_1_alerts.py"),
}
"""Pages of which a test runs the lines that begin so as they stand, and the others in other words."""

RUN_IN_OTHER_WORDS = {
    "hack/demo": "tests/e2e/conftest.py",
    "hack/demo --down": "tests/integration/lab",
    "helm install": "tests/integration/chart",
    "hack/lab": "tests/integration/lab",
    "hack/test": ".ci/run",
    "hack/check": ".ci/run",
    "hack/images/build": "hack/vmclone_test/parts.py",
    "hack/gen-crds": "tests/unit/api/test_crds.py",
    "hack/gen-docs": "tests/unit/api/test_crds.py",
    "hack/release": "tests/unit/release",
    "hack/smoke": ".github/workflows/kind.yaml",
    "hack/lock": "docs/adr/0002-lock-file-without-hosts.md",
    "hack/plugin/build": "tests/unit/plugin/test_archives.py",
    "install dist/kubectl-vmclone": "tests/unit/plugin/test_archives.py",
    "kubectl vmclone": "tests/integration/plugin/test_commands.py",
    "podman": "docs/how-to/install-with-helm.md",
}
"""How commands begin that a test runs with other names.

Of hack/release the tests run all that needs no registry: what builds its Python packages is fetched from one.
The last two need a registry, which a test must not use: hack/lock asks one for versions, and podman gets the base of
the image from one. hack/images/build builds the same Containerfile from the same folder, with buildah, on a base of
ours.
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_run_by_a_test(page: Path) -> None:
    name = str(page.relative_to(ROOT))
    if page.parent.name == "runbooks":
        name = "docs/runbooks"
    if name in RUN_AS_THEY_STAND:
        assert commands_of(page), "a page without commands needs no test"
        assert Path(page.name).stem in _text(ROOT / RUN_AS_THEY_STAND[name])
        return
    commands = commands_of(page)
    if name in RUN_IN_PART_AS_THEY_STAND:
        word, test = RUN_IN_PART_AS_THEY_STAND[name]
        assert [command for command in commands if command.startswith(word)], "nothing is left to run as it stands"
        assert Path(name).name in _text(ROOT / test)
        commands = [command for command in commands if not command.startswith(word)]
    known = tuple(sorted(RUN_IN_OTHER_WORDS, key=len, reverse=True))
    assert not [command for command in commands if not command.startswith(known)]


def test_what_is_said_to_run_them_exists() -> None:
    in_part = {test for _, test in RUN_IN_PART_AS_THEY_STAND.values()}
    named = {*RUN_AS_THEY_STAND.values(), *in_part, *RUN_IN_OTHER_WORDS.values()}
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


def _text(path: Path) -> str:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
