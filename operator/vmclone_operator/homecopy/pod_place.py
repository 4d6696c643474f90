"""What the operator's administrator decides about the pods that copy homes, as the operator's flag carries it.

Nothing here can loosen what the pod may do: of its security context only who it runs as can be chosen, never root,
and volumes and token are not among the fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_USER = 65532
_KEEP_SECONDS = 3600
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
    runtime_class_name: str = ""
    host_aliases: tuple[Mapping[str, Any], ...] = ()
    dns_policy: str = ""
    dns_config: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """More labels of the pods; ours are not replaced."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    keep_seconds: int = _KEEP_SECONDS
    """How long a finished Job stays to be read."""
    security: Mapping[str, Any] = field(default_factory=dict)
    """Who the pods run as, for clusters that assign users: `{"runAsUser": null}` leaves it to them."""

    def security_context(self) -> dict[str, Any]:
        """Return the pod's security context: never root, the default seccomp profile."""
        users: dict[str, Any] = {"runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER, **self.security}
        chosen = {name: value for name, value in users.items() if value is not None}
        return {**chosen, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}

    def fields(self) -> dict[str, Any]:
        """Return the fields of the pod's spec that are set."""
        document = {
            "imagePullSecrets": [{"name": name} for name in self.image_pull_secrets],
            "nodeSelector": dict(self.node_selector),
            "tolerations": [dict(toleration) for toleration in self.tolerations],
            "affinity": dict(self.affinity),
            "priorityClassName": self.priority_class_name,
            "runtimeClassName": self.runtime_class_name,
            "hostAliases": [dict(alias) for alias in self.host_aliases],
            "dnsPolicy": self.dns_policy,
            "dnsConfig": dict(self.dns_config),
        }
        return {name: value for name, value in document.items() if value}


_FIELDS: dict[str, tuple[str, type, str]] = {
    "resources": ("resources", dict, "a map"),
    "imagePullSecrets": ("image_pull_secrets", list, "a list of names"),
    "nodeSelector": ("node_selector", dict, "a map"),
    "tolerations": ("tolerations", list, "a list of maps"),
    "affinity": ("affinity", dict, "a map"),
    "priorityClassName": ("priority_class_name", str, "a name"),
    "runtimeClassName": ("runtime_class_name", str, "a name"),
    "hostAliases": ("host_aliases", list, "a list of maps"),
    "dnsPolicy": ("dns_policy", str, "a word"),
    "dnsConfig": ("dns_config", dict, "a map"),
    "podLabels": ("labels", dict, "a map of texts"),
    "podAnnotations": ("annotations", dict, "a map of texts"),
    "ttlSecondsAfterFinished": ("keep_seconds", int, "a number of seconds"),
    "podSecurityContext": ("security", dict, "a map of user and group ids"),
}
_ELEMENTS: dict[str, type] = {"imagePullSecrets": str, "tolerations": dict, "hostAliases": dict}
_TEXTS = ("podLabels", "podAnnotations", "nodeSelector")
_UNSET: tuple[object, ...] = (None, "", {}, [])
_IDS = ("runAsUser", "runAsGroup", "fsGroup")
_LEAST_KEEP_SECONDS = 300
"""An operator that restarts, or whose API server is away, still finds the receipt of a copy that ended meanwhile."""
_OURS = ("app.kubernetes.io/", "vmclone.dev/")


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
    given = {name: value for name, value in document.items() if value not in _UNSET}
    return PodPlace(**{_FIELDS[name][0]: _checked(name, value) for name, value in given.items()})


def _checked(name: str, value: object) -> Any:  # noqa: ANN401  - as the pod's spec has it
    _, kind, meaning = _FIELDS[name]
    elements = value if isinstance(value, list) else ()
    if not isinstance(value, kind) or not all(isinstance(element, _ELEMENTS[name]) for element in elements):
        raise ValueError(f"{name} of the pods of home copies is {meaning}")
    if problem := _wrong(name, value):
        raise ValueError(f"{name} of the pods of home copies {problem}")
    return tuple(value) if isinstance(value, list) else value


def _wrong(name: str, value: Any) -> str:  # noqa: ANN401  - as the pod's spec has it
    """Return what is wrong with a field of the right kind, or an empty string."""
    if name in _TEXTS and not all(isinstance(text, str) for text in value.values()):
        return "is a map of texts: put quotes around numbers and true"
    ours = [label for label in value if label.startswith(_OURS)] if name == "podLabels" else []
    if ours:
        return f"has {ours[0]}, which the operator sets; choose a label outside of {' and '.join(_OURS)}"
    if name == "ttlSecondsAfterFinished" and value < _LEAST_KEEP_SECONDS:
        return f"is {value}; write {_LEAST_KEEP_SECONDS} or more, so that a copy's receipt can be read after a restart"
    if name == "podSecurityContext":
        return next((_wrong_id(key, given) for key, given in value.items() if _wrong_id(key, given)), "")
    return ""


def _wrong_id(name: str, value: object) -> str:
    if name not in _IDS:
        return f"has {name}; write only {', '.join(_IDS)}"
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        return f"has {name}: {value}; write an id from 1, or null to leave it to the cluster"
    return ""
