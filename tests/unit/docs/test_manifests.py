"""A manifest that the documentation shows fits our models: no field of it is unknown, no value out of bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.doc_commands import PAGES, ROOT

from vmclone_operator.api.crds import KINDS

MODELS = {kind.name: kind.spec for kind in KINDS}
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def manifests(page: Path) -> list[dict[str, Any]]:
    """Return the objects of our group that a page shows."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    return [d for d in documents if isinstance(d, dict) and str(d.get("apiVersion", "")).startswith("vmclone.dev/")]


SHOWN = [(page, manifest) for page in PAGES for manifest in manifests(page)]


@pytest.mark.parametrize(
    ("page", "manifest"), SHOWN, ids=[f"{p.relative_to(ROOT)}: {m['metadata']['name']}" for p, m in SHOWN]
)
def test_a_manifest_of_a_page_fits_our_models(page: Path, manifest: dict[str, Any]) -> None:
    assert manifest["apiVersion"] == "vmclone.dev/v1alpha1"
    MODELS[manifest["kind"]].model_validate(manifest["spec"])  # raises and names what does not fit
    assert page.is_file()


def test_the_pages_show_some() -> None:
    assert len(SHOWN) >= 5
