"""What the operator's administrator decides about the pods that copy homes, as the operator's flag carries it.

Nothing here can loosen what the pod may do: its security context, volumes and token are not among the fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_RESOURCES = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPlace:
    """Where the pods run, with how much, and what may fetch their image: each as a pod's spec has it."""

    resources: Mapping[str, Any] = field(default_factory=lambda: _RESOURCES)
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in the operator's namespace; without any the ServiceAccount's own count."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    affinity: Mapping[str, Any] = field(default_factory=dict)
    priority_class_name: str = ""

    def fields(self) -> dict[str, Any]:
        """Return the fields of the pod's spec that are set."""
        document = {
            "imagePullSecrets": [{"name": name} for name in self.image_pull_secrets],
            "nodeSelector": dict(self.node_selector),
            "tolerations": [dict(toleration) for toleration in self.tolerations],
            "affinity": dict(self.affinity),
            "priorityClassName": self.priority_class_name,
        }
        return {name: value for name, value in document.items() if value}


_FIELDS: dict[str, tuple[str, type, str]] = {
    "resources": ("resources", dict, "a map"),
    "imagePullSecrets": ("image_pull_secrets", list, "a list of names"),
    "nodeSelector": ("node_selector", dict, "a map"),
    "tolerations": ("tolerations", list, "a list of maps"),
    "affinity": ("affinity", dict, "a map"),
    "priorityClassName": ("priority_class_name", str, "a name"),
}
_ELEMENTS: dict[str, type] = {"imagePullSecrets": str, "tolerations": dict}


def read_place(text: str) -> PodPlace:
    """Return the place that a JSON document describes, or raise ValueError with a sentence that names the field."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the pods of home copies are described in JSON, and this is none: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("the pods of home copies are described by one JSON object")  # noqa: TRY004  - a flag's value
    if unknown := sorted(document.keys() - _FIELDS.keys()):
        raise ValueError(f"{unknown[0]} is no field of the pods of home copies; write {', '.join(_FIELDS)}")
    return PodPlace(**{_FIELDS[name][0]: _checked(name, value) for name, value in document.items() if value})


def _checked(name: str, value: object) -> Any:  # noqa: ANN401  - as the pod's spec has it
    _, kind, meaning = _FIELDS[name]
    elements = value if isinstance(value, list) else ()
    if not isinstance(value, kind) or not all(isinstance(element, _ELEMENTS[name]) for element in elements):
        raise ValueError(f"{name} of the pods of home copies is {meaning}")
    return tuple(value) if isinstance(value, list) else value
