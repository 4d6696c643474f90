"""What all kinds share: the model base class, and the small types that appear in several of them.

Defaults shown in the reference are applied on reading, not by the API server, so that Argo CD and
server-side apply see no drift; `server_default` marks the few that the API server itself needs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
UID_PATTERN = r"^[-0-9a-fA-F]{0,64}$"
LABEL_KEY_PATTERN = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
LABEL_VALUE_PATTERN = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
SESSION_PATTERN = r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"


def cel(rule: str, message: str) -> dict[str, str]:
    """Return one `x-kubernetes-validations` entry; the message says what the user must write."""
    return {"rule": rule, "message": message}


def rules(*entries: dict[str, str]) -> dict[str, Any]:
    """Return the schema extra that carries CEL rules on a field or, in `model_config`, on an object."""
    return {"x-kubernetes-validations": list(entries)}


class ApiModel(BaseModel):
    """A part of an API object: frozen, camelCase on the wire, field docstrings shown by `kubectl explain`.

    Unknown fields are ignored on reading (the API server has already refused or pruned them), so that an
    older operator survives a newer schema.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # validation errors reach the log; specs must not
    )


Name = Annotated[str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN)]
Text = Annotated[str, Field(max_length=1024)]
ShortText = Annotated[str, Field(max_length=253)]
ProviderID = Annotated[str, Field(max_length=512)]
"""An id that a backend gave: the longest are those of Azure, at about 290 characters."""
LabelValue = Annotated[str, Field(max_length=63, pattern=LABEL_VALUE_PATTERN)]
Timestamp = Annotated[str, Field(max_length=64)]


class NameRef(ApiModel):
    """A reference to another object by name."""

    name: Name
    """Name of the object."""


class SecretRef(ApiModel):
    """A Secret in the operator's namespace."""

    name: Name
    """Name of the Secret."""


class Condition(ApiModel):
    """One condition in the standard form (metav1.Condition)."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """What is stated, for example Ready."""
    status: Annotated[str, Field(pattern=r"^(True|False|Unknown)$", max_length=7)]
    """Whether it is so: True, False or Unknown."""
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z]([A-Za-z0-9]*)$")]
    """Why, as one CamelCase word; part of the API."""
    message: Text
    """Why, for people: what is wrong, with which object, and what to do."""
    observed_generation: Annotated[int, Field(ge=-1, le=2**53)]
    """The generation of the object that this condition speaks about."""
    last_transition_time: Timestamp
    """When status last changed."""


class AllowedNamespaces(ApiModel):
    """Which namespaces may use an object. Absent means nobody."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("self.from != 'Names' || has(self.names)", "from: Names needs a list in names, for example [team-a]"),
            cel("self.from == 'Names' || !has(self.names)", "names goes with from: Names only; remove one of the two"),
            cel("self.from != 'Selector' || has(self.selector)", "from: Selector needs selector.matchLabels"),
            cel(
                "self.from == 'Selector' || !has(self.selector)",
                "selector goes with from: Selector only; remove one of the two",
            ),
        )
    )

    from_: Annotated[Literal["Names", "Selector", "All"], Field(alias="from")]
    """Names, Selector or All."""
    names: Annotated[
        tuple[Name, ...] | None,
        Field(min_length=1, max_length=100, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = None
    """The namespaces, with from: Names."""
    selector: LabelSelector | None = None
    """Labels that a namespace must carry, with from: Selector."""


class LabelSelector(ApiModel):
    """A selector by labels, all of which must match."""

    match_labels: Annotated[
        dict[str, LabelValue],
        Field(
            min_length=1,
            max_length=16,
            json_schema_extra=rules(
                cel(
                    f"self.all(key, size(key) <= 317 && key.matches('{LABEL_KEY_PATTERN}'))",
                    "every key in matchLabels needs the form of a label key, for example example.com/team",
                )
            ),
        ),
    ]
    """Label keys and the values they must have."""


AllowedNamespaces.model_rebuild()
