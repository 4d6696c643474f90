"""The examples are what users copy: they apply as they are, and applying them again changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.api.server import Server

pytestmark = pytest.mark.apiserver

EXAMPLES = Path(__file__).parents[3] / "examples"


def manifests() -> list[dict[str, Any]]:
    """Return the manifests in the order in which a reader applies them."""
    return [
        document
        for name in ("platform.yaml", "vmclone.yaml")
        for document in yaml.safe_load_all((EXAMPLES / name).read_text())
    ]


@pytest.fixture
def renamed(namespace: str) -> list[dict[str, Any]]:
    """Return the examples under names of this run: the lab may hold the real ones, with real clones."""
    documents = [document for document in manifests() if document["kind"] != "Namespace"]
    for document in documents:
        metadata = document["metadata"]
        metadata |= {"namespace": namespace} if "namespace" in metadata else {"name": f"{namespace}-{metadata['name']}"}
    return documents


@pytest.fixture
def applied(server: Server, renamed: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Apply the examples once; remove them after the test."""
    try:
        answers = [server.apply(document) for document in renamed]
        assert [answer.status for answer in answers] == [201] * len(renamed), [answer.body for answer in answers]
        yield [answer.body for answer in answers]
    finally:
        for document in reversed(renamed):
            server.delete(document)


def test_applying_the_examples_again_changes_nothing(
    server: Server, renamed: list[dict[str, Any]], applied: list[dict[str, Any]]
) -> None:
    for document, first in zip(renamed, applied, strict=True):
        second, third = server.apply(document).body, server.apply(document).body
        assert third == second
        # Creating an object drops its status before the default is stored; the first write after that stores it.
        # The operator's first status is usually that write.
        first["metadata"].pop("resourceVersion")
        second["metadata"].pop("resourceVersion")
        assert second == first
        assert second["spec"] == document["spec"]


def test_the_examples_belong_together() -> None:
    """Contract: the names that the examples refer to each other by exist in the examples."""
    by_kind = {document["kind"]: document for document in manifests()}
    source, vmclone = by_kind["CloneSource"], by_kind["VMClone"]
    team = by_kind["Namespace"]["metadata"]["name"]
    assert vmclone["metadata"]["namespace"] == team
    assert vmclone["spec"]["source"] == {"name": source["metadata"]["name"]}
    assert (
        vmclone["spec"]["backend"] == source["spec"]["backend"] == {"name": by_kind["CloneBackend"]["metadata"]["name"]}
    )
    for granted in (source, by_kind["CloneBackend"]):
        assert granted["spec"]["allowedNamespaces"] == {"from": "Names", "names": [team]}
