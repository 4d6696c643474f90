"""The checked-in CRDs and reference follow from the models, and say what a user of kubectl expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vmclone_generate import checked_in, crds, docs
from vmclone_operator.api.crds import HASH_ANNOTATION, KINDS, Kind, crd, schema_hash
from vmclone_operator.api.schema import fields, inline, is_positive, rules_in

ROOT = Path(__file__).parents[3]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def schema(kind: Kind) -> dict[str, Any]:
    document: dict[str, Any] = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return document


def test_checked_in_crds_equal_the_models() -> None:
    assert checked_in.differences(crds.contents(), folder="crds", suffix=".yaml") == [], "run hack/gen-crds"


def test_the_checked_in_field_reference_equals_the_models() -> None:
    assert checked_in.differences(docs.contents(), folder="docs/reference", suffix="fields.md") == [], (
        "run hack/gen-docs"
    )


def test_a_left_over_file_counts_as_a_difference() -> None:
    kept = dict(list(crds.contents().items())[1:])
    assert checked_in.differences(kept, folder="crds", suffix=".yaml") == ["crds/vmclone.dev_vmclones.yaml"]


def test_check_fails_and_writes_nothing_when_a_file_differs(capsys: pytest.CaptureFixture[str]) -> None:
    path = "crds/vmclone.dev_vmclones.yaml"
    before = (ROOT / path).read_text()
    changed = crds.contents() | {path: "other\n"}
    assert checked_in.run("hack/gen-crds", changed, folder="crds", suffix=".yaml", arguments=["--check"]) == 1
    assert capsys.readouterr().out == f"{path}: not up to date; run hack/gen-crds\n"
    assert (ROOT / path).read_text() == before


@every_kind
def test_a_yaml_file_reads_back_as_its_crd_within_the_client_side_apply_limit(kind: Kind) -> None:
    text = crds.text(kind)
    assert yaml.safe_load(text) == crd(kind)
    assert len(text) < 200 * 1024


@every_kind
def test_the_schema_hash_follows_the_schema(kind: Kind) -> None:
    document = crd(kind)
    stamped = document["metadata"]["annotations"][HASH_ANNOTATION]
    assert stamped == schema_hash(document["spec"])
    document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] += "."
    assert stamped != schema_hash(document["spec"])


@every_kind
def test_every_object_starts_as_not_seen(kind: Kind) -> None:
    assert schema(kind)["properties"]["status"]["default"] == {"observedGeneration": -1}


@every_kind
def test_the_server_stores_no_other_defaults(kind: Kind) -> None:
    defaults = {path: field["default"] for path, field, _ in fields(schema(kind)) if "default" in field}
    allowed = {"status": {"observedGeneration": -1}, "status.observedGeneration": -1}
    assert defaults == (allowed | {"spec.replicas": 1} if kind.name == "VMClone" else allowed)


@every_kind
def test_every_sentence_says_what_to_write(kind: Kind) -> None:
    scolding = [entry["message"] for _, entry in rules_in(schema(kind)) if not is_positive(entry["message"])]
    assert scolding == []


@every_kind
def test_every_column_shows_a_field_that_exists(kind: Kind) -> None:
    known = {path for path, _, _ in fields(schema(kind))} | {"metadata.creationTimestamp"}
    shown = [
        column.path.lstrip(".").replace("[0]", "").replace("[?(@.type=='Ready')]", "[]") for column in kind.columns
    ]
    assert set(shown) <= known


@every_kind
def test_every_field_of_a_kind_has_one_anchor_in_the_reference(kind: Kind) -> None:
    page = docs.text()
    for part, model in (("spec", kind.spec), ("status", kind.status)):
        for path, _, _ in fields(inline(model), part):
            anchor = f"{kind.name}-{path}".lower().replace(".", "-").replace("[]", "")
            assert page.count(f'<a id="{anchor}"></a>') == 1
