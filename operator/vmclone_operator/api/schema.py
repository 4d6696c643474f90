"""Turns a pydantic model into a Kubernetes structural schema, and refuses a model that is not safe to serve.

The API server is the only validator that every writer passes, so what it cannot check must not exist: each
field is bounded and described, each list says how it merges, each CEL rule carries a sentence for the user.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

Schema = dict[str, Any]

RULES = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
SERVER_DEFAULT = "server_default"

_SCALAR = ("type", "format", "description", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum")
_NESTED = ("minItems", "maxItems", "minProperties", "maxProperties", LIST_TYPE, LIST_KEYS, "required", RULES)
_BELOW = ("properties", "items", "additionalProperties")
_ORDER = (*_SCALAR, "default", *_NESTED, *_BELOW)
_KEPT = frozenset(_ORDER) - frozenset(_BELOW) | {SERVER_DEFAULT}
_RESOLVED = frozenset({"$ref", "$defs", "anyOf", "allOf", "const", "title", *_BELOW})
_INT32_MAX = 2**31 - 1
_ADVICE = re.compile(r"\b(needs?|create|set|write|remove|choose|goes with|is named|are named)\b", re.IGNORECASE)
_SCOLDING = re.compile(r"\b(invalid|illegal|forbidden|error|wrong|(must|may|can) ?not|not allowed)\b", re.IGNORECASE)


class SchemaRefusedError(Exception):
    """The model cannot become a schema; the message names every field and what it needs."""


def inline(model: type[BaseModel]) -> Schema:
    """Return the model's JSON schema without references, titles and nulls; defaults are still in it."""
    document = model.model_json_schema(by_alias=True)
    return _resolve(document, document.get("$defs", {}), model.__name__)


def structural(model: type[BaseModel]) -> Schema:
    """Return what goes into a CRD: `inline` without client-side defaults, after every check has passed."""
    schema = inline(model)
    problems = sorted(_problems(schema, model.__name__))
    if problems:
        raise SchemaRefusedError("\n".join(problems))
    return _served(schema)


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Yield path, schema and "must be written" of every field below a schema, parents first."""
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield below, child, name in required
        yield from fields(child, below)
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


def rules_in(schema: Schema, path: str = "") -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield path and entry of every CEL rule in a schema."""
    for entry in schema.get(RULES, ()):
        yield path, entry
    for name, child in schema.get("properties", {}).items():
        yield from rules_in(child, f"{path}.{name}" if path else name)
    for keyword, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(keyword), dict):
            yield from rules_in(schema[keyword], path + mark)


def is_positive(message: str) -> bool:
    """Return whether a sentence for the user says what to write, rather than what was bad."""
    return bool(_ADVICE.search(message)) and not _SCOLDING.search(message)


def _resolve(node: Schema, definitions: Mapping[str, Schema], path: str) -> Schema:
    unknown = set(node) - _KEPT - _RESOLVED
    if unknown:
        raise SchemaRefusedError(f"{path}: a structural schema has no {', '.join(sorted(unknown))}")
    resolved = _referred(node, definitions, path)
    for key in sorted(_KEPT & set(node)):
        resolved[key] = [*resolved.get(RULES, ()), *node[key]] if key == RULES else node[key]
    if "const" in node:
        resolved["enum"] = [node["const"]]
    if "properties" in node:
        resolved["properties"] = {
            name: _resolve(child, definitions, f"{path}.{name}") for name, child in node["properties"].items()
        }
    if isinstance(node.get("items"), dict):
        resolved["items"] = _resolve(node["items"], definitions, f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        resolved["additionalProperties"] = _resolve(node["additionalProperties"], definitions, f"{path}{{}}")
    if resolved.get("type") == "integer" and "maximum" in resolved:
        resolved["format"] = "int32" if resolved["maximum"] <= _INT32_MAX else "int64"
    if resolved.get("default", "") is None:
        del resolved["default"]
    return resolved


def _referred(node: Schema, definitions: Mapping[str, Schema], path: str) -> Schema:
    """Return what the node takes over: the model it names, or the one type it has besides null."""
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        return _resolve(definitions[name], definitions, path)
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) > 1 or "allOf" in node:
        raise SchemaRefusedError(f"{path}: a field needs one type; write a CEL rule for alternatives")
    return _resolve(options[0], definitions, path) if options else {}


def _served(schema: Schema) -> Schema:
    """Return a checked schema as the API server takes it; only marked defaults stay."""
    served = {key: schema[key] for key in _ORDER if key in schema}
    if not schema.get(SERVER_DEFAULT):
        served.pop("default", None)
    if "properties" in schema:
        served["properties"] = {name: _served(child) for name, child in schema["properties"].items()}
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            served[keyword] = _served(schema[keyword])
    return served


def _problems(schema: Schema, path: str) -> Iterator[str]:
    yield from _bounds(schema, path)
    yield from _sentences(schema, path)
    for name, child in schema.get("properties", {}).items():
        if not child.get("description"):
            yield f"{path}.{name}: needs a docstring; kubectl explain shows it"
        yield from _problems(child, f"{path}.{name}")
    for keyword, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if keyword in schema:
            yield from _problems(schema[keyword], path + mark)


def _bounds(schema: Schema, path: str) -> Iterator[str]:
    match schema.get("type"):
        case "string":
            yield from _needed(schema, path, () if "enum" in schema else ("maxLength",))
        case "integer" | "number":
            yield from _needed(schema, path, ("minimum", "maximum"))
        case "array":
            yield from _needed(schema, path, ("items", "maxItems", LIST_TYPE))
            if schema.get(LIST_TYPE) == "map":
                yield from _needed(schema, path, (LIST_KEYS,))
        case "object" if "properties" not in schema:
            yield from _needed(schema, path, ("additionalProperties", "maxProperties"))
        case "object" | "boolean":
            pass
        case unknown:
            yield f"{path}: needs a type that a structural schema knows; {unknown!r} is none"


def _needed(schema: Schema, path: str, keywords: tuple[str, ...]) -> Iterator[str]:
    for keyword in keywords:
        if keyword not in schema:
            yield f"{path}: needs {keyword}"


def _sentences(schema: Schema, path: str) -> Iterator[str]:
    for entry in schema.get(RULES, ()):
        if not is_positive(entry.get("message", "")):
            yield f"{path}: the rule {entry['rule']!r} needs a message that says what to write"
