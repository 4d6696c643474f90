"""The labels that everything we make in the cluster bears, and the one that its clone is found by."""

from __future__ import annotations

INCARNATION_LABEL = "vmclone.dev/incarnation"


def recommended(component: str) -> dict[str, str]:
    """Return the labels that Kubernetes recommends for a part of an application."""
    return {
        "app.kubernetes.io/name": "vmclone",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "vmclone",
        "app.kubernetes.io/managed-by": "vmclone-operator",
    }
