"""Consent: which namespaces may use a CloneBackend or a CloneSource. Closed unless it says otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from vmclone_operator.api.base import AllowedNamespaces


def needs_labels(allowed: AllowedNamespaces | None) -> bool:
    """Return whether the namespace's labels must be read to decide."""
    return allowed is not None and allowed.from_ == "Selector"


def allows(allowed: AllowedNamespaces | None, namespace: str, labels: Mapping[str, str]) -> bool:
    """Return whether the namespace may use the object. Absent, empty and unknown all mean no."""
    if allowed is None:
        return False
    if allowed.from_ == "All":
        return True
    if allowed.from_ == "Names":
        return namespace in (allowed.names or ())
    if allowed.selector is None or not allowed.selector.match_labels:
        return False
    wanted = allowed.selector.match_labels
    return all(labels.get(key) == value for key, value in wanted.items())
