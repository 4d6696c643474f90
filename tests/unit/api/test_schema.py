"""The generator refuses what the API server could not check or `kubectl explain` could not tell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from vmclone_operator.api.base import cel, rules
from vmclone_operator.api.schema import SchemaRefusedError, fields, inline, is_positive, rules_in, structural

ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}


class Documented(BaseModel):
    """A part."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Inner(Documented):
    """The inner part."""

    model_config = ConfigDict(json_schema_extra=rules(cel("self.size < 5", "size needs to be below 5")))

    size: Annotated[int, Field(ge=0, le=9)] = 3
    """How large."""


class Outer(Documented):
    """The outer part."""

    needed: Annotated[Inner, Field(json_schema_extra=rules(cel("self == oldSelf", "create another one")))]
    """The needed one."""
    maybe: Inner | None = None
    """The other one."""
    one: Literal["Disk"] | None = None
    """The only way."""
    kept: Annotated[int, Field(ge=0, le=2**40, json_schema_extra={"server_default": True})] = 1
    """Stored by the server."""
    words: Annotated[
        tuple[Annotated[str, Field(max_length=5)], ...], Field(max_length=3, json_schema_extra=ATOMIC)
    ] = ()
    """A list."""
    labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=4)] = {}
    """A map."""


def below(schema: dict[str, Any], name: str) -> Any:
    return schema["properties"][name]


def test_an_optional_field_is_its_type_and_absent_when_unset() -> None:
    maybe = below(structural(Outer), "maybe")
    assert maybe["type"] == "object"
    assert maybe["description"] == "The other one."
    assert below(maybe, "size") == {
        "type": "integer",
        "format": "int32",
        "description": "How large.",
        "minimum": 0,
        "maximum": 9,
    }


def test_rules_of_a_field_join_those_of_its_model() -> None:
    found = [(path, entry["rule"]) for path, entry in rules_in(structural(Outer))]
    assert found == [("needed", "self.size < 5"), ("needed", "self == oldSelf"), ("maybe", "self.size < 5")]


def test_a_single_literal_is_an_enum() -> None:
    assert below(structural(Outer), "one") == {"type": "string", "description": "The only way.", "enum": ["Disk"]}


def test_only_marked_defaults_are_stored_by_the_server() -> None:
    defaults = {path: field["default"] for path, field, _ in fields(structural(Outer)) if "default" in field}
    assert defaults == {"kept": 1}
    assert below(structural(Outer), "kept")["format"] == "int64"


def test_all_defaults_stay_readable_for_the_reference() -> None:
    defaults = {path: field["default"] for path, field, _ in fields(inline(Outer)) if "default" in field}
    assert defaults == {"needed.size": 3, "maybe.size": 3, "kept": 1, "words": [], "labels": {}}


def test_nothing_of_pydantic_reaches_the_schema() -> None:
    text = str(structural(Outer))
    assert not [word for word in ("$ref", "$defs", "anyOf", "const", "title", "server_default", "null") if word in text]


REFUSED = {
    "a string without maxLength": (str, "X.field: needs maxLength"),
    "a pattern alone does not bound a string": (Annotated[str, Field(pattern="^a{1,3}$")], "X.field: needs maxLength"),
    "an optional string without maxLength": (str | None, "X.field: needs maxLength"),
    "a number without a lower bound": (Annotated[int, Field(le=3)], "X.field: needs minimum"),
    "a number without an upper bound": (Annotated[float, Field(ge=3)], "X.field: needs maximum"),
    "a list without maxItems": (Annotated[tuple[bool, ...], Field(json_schema_extra=ATOMIC)], "needs maxItems"),
    "a list without list type": (Annotated[tuple[bool, ...], Field(max_length=3)], "needs x-kubernetes-list-type"),
    "a map list without keys": (
        Annotated[tuple[Inner, ...], Field(max_length=3, json_schema_extra={"x-kubernetes-list-type": "map"})],
        "X.field: needs x-kubernetes-list-map-keys",
    ),
    "an unbounded item": (Annotated[tuple[str, ...], Field(max_length=3, json_schema_extra=ATOMIC)], r"X.field\[\]"),
    "a map without maxProperties": (dict[str, bool], "X.field: needs maxProperties"),
    "a map of anything": (Annotated[dict[str, Any], Field(max_length=3)], "X.field: needs additionalProperties"),
    "two types": (bool | Inner, "X.field: a field needs one type"),
    "anything": (Any, "X.field: needs a type"),
    "a keyword that structural schemas lack": (
        Annotated[int, Field(gt=3, le=9)],
        "X.field: a structural schema has no exclusiveMinimum",
    ),
    "a rule that scolds": (
        Annotated[bool, Field(json_schema_extra=rules(cel("self", "this is invalid")))],
        "X.field: the rule 'self' needs a message",
    ),
}


@pytest.mark.parametrize(("annotation", "complaint"), REFUSED.values(), ids=REFUSED.keys())
def test_the_generator_refuses(annotation: Any, complaint: str) -> None:
    model = type("X", (Documented,), {"__annotations__": {"field": Annotated[annotation, Field(description="It.")]}})
    with pytest.raises(SchemaRefusedError, match=complaint):
        structural(model)


def test_the_generator_refuses_a_field_without_docstring() -> None:
    model = type("X", (Documented,), {"__annotations__": {"field": bool}})
    with pytest.raises(SchemaRefusedError, match=r"X\.field: needs a docstring"):
        structural(model)


def test_the_generator_names_every_problem_at_once() -> None:
    annotations = {"first": Annotated[str, Field(description="1")], "second": Annotated[int, Field(description="2")]}
    with pytest.raises(SchemaRefusedError) as refused:
        structural(type("X", (Documented,), {"__annotations__": annotations}))
    assert str(refused.value).splitlines() == [
        "X.first: needs maxLength",
        "X.second: needs maximum",
        "X.second: needs minimum",
    ]


@pytest.mark.parametrize(
    ("message", "positive"),
    [
        ("vm is immutable; create another CloneSource for another VM", True),
        ("from: Names needs a list in names", True),
        ("vm is immutable", False),
        ("host must not be empty: set it", False),
        ("", False),
    ],
)
def test_a_message_says_what_to_write(message: str, *, positive: bool) -> None:
    assert is_positive(message) is positive
