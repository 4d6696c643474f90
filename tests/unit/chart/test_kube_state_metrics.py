"""What the chart tells kube-state-metrics to read is there: every path is a field of our kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from vmclone_generate.checked_in import ROOT

CHART = ROOT / "charts" / "vmclone-operator"
CONFIG = yaml.safe_load((CHART / "files" / "kube-state-metrics.yaml").read_text(encoding="utf-8"))
RESOURCES = {resource["groupVersionKind"]["kind"]: resource for resource in CONFIG["spec"]["resources"]}


def schema_of(kind: str) -> dict[str, Any]:
    file = CHART / "files" / "crds" / f"vmclone.dev_{kind.lower()}s.yaml"
    (version,) = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def is_a_field(schema: dict[str, Any], path: list[str]) -> bool:
    if path[0] == "metadata":
        return path[1] in {"name", "namespace", "creationTimestamp", "labels"}
    for name in path:
        schema = schema.get("items", schema)
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


def paths(resource: dict[str, Any]) -> Iterator[list[str]]:
    yield from resource["labelsFromPath"].values()
    for metric in resource["metrics"]:
        (what,) = (metric["each"][kind] for kind in ("info", "gauge") if kind in metric["each"])
        above = what.get("path", [])
        yield from ([*above, *path] for path in what.get("labelsFromPath", {}).values())
        if above:
            yield [*above, *what.get("valueFrom", [])]


@pytest.mark.parametrize("kind", RESOURCES)
def test_every_path_is_a_field_of_the_kind(kind: str) -> None:
    assert RESOURCES[kind]["groupVersionKind"] == {"group": "vmclone.dev", "version": "v1alpha1", "kind": kind}
    found = list(paths(RESOURCES[kind]))
    assert len(found) > 8
    assert not [path for path in found if not is_a_field(schema_of(kind), path)]


@pytest.mark.parametrize("kind", RESOURCES)
def test_its_metrics_are_named_as_ours_are_and_explained(kind: str) -> None:
    resource = RESOURCES[kind]
    names = [f"{resource['metricNamePrefix']}_{metric['name']}" for metric in resource["metrics"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"vmclone_[a-z_]+", name) for name in names)
    assert all(metric["help"].endswith(".") for metric in resource["metrics"])
