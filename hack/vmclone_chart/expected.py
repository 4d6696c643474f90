"""Compares the rendered chart with expected.yaml, whose rows say where each of its values must show.

A value that no row sets is an error, so that a new one comes with its row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vmclone_chart.rendered import RefusedError, render

Values = Mapping[str, Any]
OPERATOR, COPIES = "Deployment", "home copies"
"""COPIES stands for what the operator is told of the pods that copy homes; it makes them itself."""
_TABLE = Path(__file__).with_name("expected.yaml")


@dataclass(frozen=True)
class Row:
    """These values have this kind of document hold `expected` at `path`: a part of a map, or an item of a list."""

    values: Values
    kind: str
    path: str
    expected: object
    name: str = ""
    """The end of the document's name, where there are several of a kind."""


class MISSING:
    """Expected where nothing may stand."""


def table() -> tuple[list[Row], list[Row]]:
    """Return the rows that are rendered together, and those that are rendered each by itself."""
    document = yaml.safe_load(_TABLE.read_text())
    together, apart = ([_row(entry) for entry in document[part]] for part in ("together", "apart"))
    return together, apart


def _row(entry: Mapping[str, Any]) -> Row:
    expected = MISSING if entry.get("absent") else entry["is"]
    return Row(entry["set"], entry["in"], entry.get("at", ""), expected, entry.get("named", ""))


def problems() -> Iterator[str]:
    """Yield a sentence for each row that the rendered chart does not keep."""
    together, apart = table()
    yield from unkept(together, merged([row.values for row in together]))
    groups: dict[str, list[Row]] = {}
    for row in apart:
        groups.setdefault(json.dumps(row.values, sort_keys=True), []).append(row)
    for rows in groups.values():
        yield from unkept(rows, rows[0].values)


def unkept(rows: Sequence[Row], values: Values) -> Iterator[str]:
    """Yield a sentence for each of these rows that a rendering with these values does not keep."""
    about_crds = any(row.kind == "CustomResourceDefinition" for row in rows)
    try:
        # Most of a rendering's time goes into the definitions.
        documents = render(values=values if about_crds else merged([{"crds": {"enabled": False}}, values]))
    except RefusedError as error:
        yield f"{json.dumps(values)} is refused: {error}"
        return
    yield from (sentence for row in rows for sentence in compare(row, [*documents, _copies(documents)]))


def compare(row: Row, documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence when no document of the row's kind holds what it must, or when one does that must not."""
    found = [
        document
        for document in documents
        if document["kind"] == row.kind and document["metadata"]["name"].endswith(row.name)
    ]
    here = [_at(document, row.path) for document in found]
    if row.expected is MISSING:
        kept = all(value is MISSING for value in here)
    else:
        kept = bool(here) and any(_holds(value, row.expected) for value in here)
    if not kept:
        wanted = "nothing" if row.expected is MISSING else row.expected
        yield f"{json.dumps(row.values)}: {row.kind} has {here or 'no document'} at {row.path!r}, expected {wanted}"


def merged(several: Sequence[Values]) -> dict[str, Any]:
    """Return all values in one; raises ValueError when two rows want something else in one place."""
    result: dict[str, Any] = {}
    for values in several:
        for name, value in values.items():
            before = result.get(name)
            if isinstance(value, dict) and isinstance(before, dict):
                result[name] = merged([before, value])
            elif name in result and before != value:
                raise ValueError(f"two rows set {name} differently: {before} and {value}")
            else:
                result[name] = value
    return result


def unset(paths: Sequence[str]) -> list[str]:
    """Return those of the chart's values that no row sets."""
    given = {path for rows in table() for row in rows for path in _paths(row.values, "")}
    return [path for path in paths if path not in given]


def _paths(values: Values, above: str) -> Iterator[str]:
    for name, value in values.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{name}.")


def _copies(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    flag = "--home-copy-pods="
    deployment = next(document for document in documents if document["kind"] == OPERATOR)
    words = [word for word in _at(deployment, "spec.template.spec.containers.0.args") if word.startswith(flag)]
    return {"kind": COPIES, "metadata": {"name": COPIES}, **json.loads(words[0].removeprefix(flag))}


def _at(document: object, path: str) -> Any:  # noqa: ANN401  - a part of a document
    """Return what is at a path with dots; a dot of a name is written with a backslash before it."""
    for part in path.replace("\\.", "\0").split(".") if path else ():
        name = part.replace("\0", ".")
        if isinstance(document, list):
            document = document[int(name)] if int(name) < len(document) else MISSING
        else:
            document = document.get(name, MISSING) if isinstance(document, dict) else MISSING
    return document


def _holds(value: object, expected: object) -> bool:
    if isinstance(value, list) and not isinstance(expected, list):
        return any(_holds(item, expected) for item in value)
    if isinstance(value, dict) and isinstance(expected, dict):
        return all(name in value and _holds(value[name], inner) for name, inner in expected.items())
    return value == expected
