"""The API server refuses a bad manifest with a sentence that says what to write, and takes the good one beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.api.rows import SMALLEST, Row, changed
from tests.integration.api.rows_azure import AZURE, AZURE_UPDATES, IMAGES
from tests.integration.api.rows_change import CHANGE, labels
from tests.integration.api.rows_platform import BACKEND, SOURCE
from tests.integration.api.rows_proxmox import PROXMOX, PROXMOX_UPDATES
from tests.integration.api.rows_updates import UPDATES as OTHER_UPDATES
from tests.integration.api.rows_vmclone import REPLICA, VMCLONE
from tests.integration.api.server import Answer, Server

from vmclone_operator.api.crds import KINDS, crd
from vmclone_operator.api.schema import rules_in

pytestmark = pytest.mark.apiserver

TABLES = {
    "VMClone": {**VMCLONE, **CHANGE},
    "VMCloneReplica": {**REPLICA, **labels("VMCloneReplica")},
    "CloneSource": {**SOURCE, **IMAGES},
    "CloneBackend": {**BACKEND, **PROXMOX, **AZURE},
}
UPDATES = {**OTHER_UPDATES, **PROXMOX_UPDATES, **AZURE_UPDATES}
CREATED = {f"{kind}: {sentence}": row for kind, table in TABLES.items() for sentence, row in table.items()}


def assert_refused(answer: Answer, row: Row) -> None:
    """Fail unless the answer is a refusal at the row's field, in the row's words."""
    assert answer.status == 422, answer.body
    said = [sentence for field, sentence in answer.causes if field == row.at]
    assert any(row.says in sentence for sentence in said), answer.causes


@pytest.mark.parametrize("row", CREATED.values(), ids=CREATED.keys())
def test_a_bad_manifest_is_refused_and_its_neighbour_accepted(server: Server, namespace: str, row: Row) -> None:
    accepted = server.create(changed(row.kind, row.accepted, namespace=namespace), dryRun="All")
    assert accepted.status == 201, accepted.body["message"]
    assert_refused(server.create(changed(row.kind, row.refused, namespace=namespace), dryRun="All"), row)


@pytest.fixture
def existing(server: Server, namespace: str, row: Row) -> Iterator[str]:
    """Create what the row starts from; return its resourceVersion."""
    manifest = changed(row.kind, row.start or {}, namespace=namespace)
    answer = server.create(manifest)
    assert answer.status == 201, answer.body["message"]
    yield answer.body["metadata"]["resourceVersion"]
    server.delete(manifest)


@pytest.mark.parametrize("row", UPDATES.values(), ids=UPDATES.keys())
def test_an_object_never_becomes_another_one(server: Server, namespace: str, row: Row, existing: str) -> None:
    accepted, refused = (changed(row.kind, change, namespace=namespace) for change in (row.accepted, row.refused))
    for manifest in (accepted, refused):
        manifest["metadata"]["resourceVersion"] = existing
    answer = server.replace(accepted, dryRun="All")
    assert answer.status == 200, answer.body["message"]
    assert_refused(server.replace(refused, dryRun="All"), row)


@pytest.mark.parametrize("kind", SMALLEST)
def test_an_unknown_field_is_refused(server: Server, namespace: str, kind: str) -> None:
    answer = server.create(changed(kind, {"spec.sizee": 3}, namespace=namespace), dryRun="All")
    assert answer.status == 400
    assert 'unknown field "spec.sizee"' in answer.body["message"]


@pytest.mark.parametrize("kind", SMALLEST)
def test_an_object_without_spec_is_refused(server: Server, namespace: str, kind: str) -> None:
    manifest: dict[str, Any] = changed(kind, {}, namespace=namespace)
    del manifest["spec"]
    assert ("spec", "Required value") in server.create(manifest, dryRun="All").causes


def test_every_rule_in_the_crds_has_a_refused_manifest_here() -> None:
    """Contract: a CEL rule that no row breaks is a rule that may never have worked."""
    refused = {(row.kind, row.at, row.says) for row in (*CREATED.values(), *UPDATES.values())}
    untested = [
        (kind.name, path, entry["message"])
        for kind in KINDS
        for path, entry in rules_in(crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        if (kind.name, path, entry["message"]) not in refused
    ]
    assert untested == []
