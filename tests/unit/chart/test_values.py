"""The page of the chart's values is complete, and the operator knows every flag that the chart gives it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from vmclone_generate import values
from vmclone_operator.settings import read_settings

TEXT = """\
# Pods.
replicaCount: 2

image:
  # Where it is:
  # a path.
  name: a|b
  # Not sorted out.
  rest: {x: 1}
"""
SCHEMA: dict[str, Any] = {
    "properties": {
        "replicaCount": {"type": "integer", "minimum": 1},
        "image": {"type": "object", "properties": {"name": {"type": "string"}, "rest": {"type": "object"}}},
    }
}


def test_every_value_has_one_row_in_the_order_of_the_file() -> None:
    rows = [(value.path, value.default, value.meaning) for value in values.read(TEXT, SCHEMA)]
    assert rows == [
        ("replicaCount", 2, "Pods."),
        ("image.name", "a|b", "Where it is: a path."),
        ("image.rest", {"x": 1}, "Not sorted out."),
    ]


UNDESCRIBED = {
    "a value without a comment": (TEXT.replace("# Pods.", ""), "replicaCount has no comment"),
    "a comment that an empty line parts from its value": (TEXT.replace("# Pods.", "# Pods.\n"), "no comment"),
    "a value without a schema": (f"{TEXT}# New.\nother: 1\n", "other is not in values.schema.json"),
}


@pytest.mark.parametrize(("text", "complaint"), UNDESCRIBED.values(), ids=UNDESCRIBED.keys())
def test_what_has_no_meaning_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(values.UndescribedError, match=complaint):
        values.read(text, SCHEMA)


def test_every_default_is_one_that_the_schema_allows() -> None:
    schema = json.loads((values.CHART / "values.schema.json").read_text(encoding="utf-8"))
    for value in values.read((values.CHART / "values.yaml").read_text(encoding="utf-8"), schema):
        if "enum" in value.schema:
            assert value.default in value.schema["enum"], value.path
        if "pattern" in value.schema:
            assert re.search(value.schema["pattern"], str(value.default)), value.path


def test_the_operator_knows_every_flag_that_the_chart_gives_it() -> None:
    template = (values.CHART / "templates" / "deployment.yaml").read_text(encoding="utf-8")
    flags = re.findall(r'^ +- (?:\{\{ printf ")?(--[a-z-]+)=', template, re.MULTILINE)
    assert "--home-copy-pods" in flags
    words = {
        "--log-level": "INFO",
        "--log-format": "text",
        "--home-copy-staging-size": "50Gi",
        "--home-copy-pods": "{}",
    }
    words |= {"--lease-seconds": "30", "--lease-deadline-seconds": "20", "--lease-retry-seconds": "4"}
    words |= dict.fromkeys(("--workers", "--resync-seconds", "--relist-seconds", "--metrics-port"), "8080")
    read_settings([f"{flag}={words.get(flag, 'x')}" for flag in flags], {})
