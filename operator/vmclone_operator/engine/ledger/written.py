"""How a status is written: what is unset is absent, so that it compares equal to what the API server sends back."""

from __future__ import annotations

from vmclone_operator.api.backend import CloneBackendStatus
from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.source import CloneSourceStatus
from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.kube.cluster import Document

ObservedStatus = VMCloneStatus | VMCloneReplicaStatus | CloneSourceStatus | CloneBackendStatus


def dumped(status: ObservedStatus) -> Document:
    """Return the status as it is written: unset and empty fields are absent."""
    document = status.model_dump(by_alias=True, exclude_defaults=True)
    document["observedGeneration"] = status.observed_generation
    return _plain(document)


def _plain(document: Document) -> Document:
    """Return the document with tuples as lists, so that it compares equal to what the API server sends back."""
    return {key: _plain_value(value) for key, value in document.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, dict):
        return _plain(value)
    if isinstance(value, (list, tuple)):
        return [_plain_value(item) for item in value]
    return value
