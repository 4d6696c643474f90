"""What the engine asks of a cluster, so that it can run against the real API server or a strict in-memory one.

Documents are raw JSON objects: the hot path never builds typed client models.

* ClusterError
  x Conflict      somebody else wrote the object first: read it again
  x Gone          the object does not exist (any more), or is another one of the same name
  x Refused       the API server will not accept this request; retrying alone cannot help
  x Unavailable   the API server does not answer, or is overloaded: try again later
    + HookDown    a webhook that it must ask does not answer: it says so itself, and everything else goes on
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from vmclone_operator.api import GROUP, VERSION

Document = dict[str, Any]


class Kind(Enum):
    """A kind the operator reads or writes: API group, version, plural, and whether it lives in a namespace."""

    VMCLONE = (GROUP, VERSION, "vmclones", "VMClone", True)
    REPLICA = (GROUP, VERSION, "vmclonereplicas", "VMCloneReplica", True)
    SOURCE = (GROUP, VERSION, "clonesources", "CloneSource", False)
    BACKEND = (GROUP, VERSION, "clonebackends", "CloneBackend", False)
    LEASE = ("coordination.k8s.io", "v1", "leases", "Lease", True)
    EVENT = ("events.k8s.io", "v1", "events", "Event", True)
    SECRET = ("", "v1", "secrets", "Secret", True)
    JOB = ("batch", "v1", "jobs", "Job", True)
    POD = ("", "v1", "pods", "Pod", True)
    NAMESPACE = ("", "v1", "namespaces", "Namespace", False)
    CRD = ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)

    def __init__(self, group: str, version: str, plural: str, kind: str, namespaced: bool) -> None:  # noqa: FBT001
        self.group, self.version, self.plural, self.kind, self.namespaced = group, version, plural, kind, namespaced

    @property
    def api_version(self) -> str:
        """Return `group/version` as manifests write it."""
        return f"{self.group}/{self.version}" if self.group else self.version


class ClusterError(Exception):
    """Base class of everything the API may answer but success."""


class Conflict(ClusterError):  # noqa: N818  - named for the HTTP answer
    """Somebody else wrote the object first."""


class Gone(ClusterError):  # noqa: N818  - named for what happened
    """The object does not exist any more."""


class Refused(ClusterError):  # noqa: N818  - named for what happened
    """The API server refuses the request: its validation, its rights or its quota."""


class Unavailable(ClusterError):  # noqa: N818  - named for what happened
    """The API server does not answer or is overloaded."""


class HookDown(Unavailable):
    """An admission webhook with `failurePolicy: Fail` cannot be reached: requests that it must judge are refused."""


@dataclass(frozen=True, slots=True)
class Key:
    """Names one object of ours; what the work queue holds."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.kind.kind}/{self.namespace}/{self.name}" if self.namespace else f"{self.kind.kind}/{self.name}"


def key_of(kind: Kind, document: Mapping[str, Any]) -> Key:
    """Return the key of a document."""
    meta = document["metadata"]
    return Key(kind, meta.get("namespace", ""), meta["name"])


class Cluster(Protocol):
    """The API server. Every write is checked against the version of the document it is given."""

    async def get(self, key: Key) -> Document | None:
        """Read one object live; None when it does not exist."""

    async def list(
        self, kind: Kind, *, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> Sequence[Document]:
        """List objects live, in chunks, over all namespaces unless one is named."""

    async def list_named(self, kind: Kind, name: str) -> Sequence[Document]:
        """List the objects of one name in all namespaces."""

    async def list_metadata(self, kind: Kind, *, namespace: str, labels: Mapping[str, str]) -> Sequence[Document]:
        """List names, labels and uids of objects live; their contents never leave the API server."""

    async def create(self, kind: Kind, document: Document) -> Document:
        """Create an object; raises Conflict when the name is taken, Gone when its namespace is."""

    async def replace(self, kind: Kind, document: Document) -> Document:
        """Replace an object; raises Conflict when its resourceVersion is not the newest."""

    async def delete(self, kind: Kind, document: Document) -> None:
        """Ask for deletion of exactly this object (same uid); no effect when it is gone. A Job goes after its pods."""

    async def write_status(self, kind: Kind, document: Document, status: Mapping[str, Any]) -> Document:
        """Replace the status; raises Conflict when the document is not the newest, Gone when it was deleted."""

    async def write_labels(self, kind: Kind, document: Document, labels: Mapping[str, str]) -> Document:
        """Replace the labels and nothing else; raises Conflict and Gone."""

    async def pod_log(self, namespace: str, name: str, *, lines: int) -> str:
        """Return the last lines of a pod's log; empty when there is none (yet)."""

    async def events_of(self, namespace: str, uid: str) -> Sequence[Document]:
        """List the Events of a namespace that are about one object."""

    async def write_finalizers(self, kind: Kind, document: Document, finalizers: Sequence[str]) -> Document:
        """Replace the list of finalizers and nothing else; raises Conflict and Gone."""
