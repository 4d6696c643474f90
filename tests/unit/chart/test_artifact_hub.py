"""What Artifact Hub shows of the chart is what the chart has: its kinds, an example that the API takes, its licence."""

from __future__ import annotations

import tomllib
from typing import Any

import yaml

from vmclone_chart.rendered import CHART, ROOT
from vmclone_operator.api import VERSION
from vmclone_operator.api.crds import KINDS

PREFIX = "artifacthub.io/"
ANNOTATIONS: dict[str, str] = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["annotations"]
CAPABILITIES = {"basic install", "seamless upgrades", "full lifecycle", "deep insights", "auto pilot"}
CATEGORIES = {"integration-delivery", "monitoring-logging", "networking", "security", "storage", "skip-prediction"}


def parsed(name: str) -> Any:
    return yaml.safe_load(ANNOTATIONS[PREFIX + name])


def test_every_kind_is_listed_as_its_schema_describes_it() -> None:
    assert parsed("crds") == [
        {
            "kind": kind.name,
            "version": VERSION,
            "name": kind.crd_name,
            "displayName": kind.name,
            "description": kind.description,
        }
        for kind in KINDS
    ]


def test_the_example_is_the_one_that_is_tried() -> None:
    (shown,) = parsed("crdsExamples")
    assert shown == yaml.safe_load((ROOT / "examples" / "vmclone.yaml").read_text(encoding="utf-8"))


def test_the_other_words_are_of_artifact_hubs_lists_and_true() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ANNOTATIONS[f"{PREFIX}license"] == project["license"]
    assert ANNOTATIONS[f"{PREFIX}operatorCapabilities"] in CAPABILITIES
    assert ANNOTATIONS[f"{PREFIX}category"] in CATEGORIES
    assert ANNOTATIONS[f"{PREFIX}prerelease"] == str("alpha" in VERSION).lower()
    assert all(isinstance(value, str) for value in ANNOTATIONS.values()), "annotations are texts"
