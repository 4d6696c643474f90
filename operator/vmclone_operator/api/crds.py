"""The four CustomResourceDefinitions as documents: what `hack/gen-crds` writes and the operator compares at start.

The models say what a spec and a status hold; this module adds what only the kind as a whole has: scope,
names, columns, the scale subresource, rules that look at metadata.name.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vmclone_operator.api import GROUP, VERSION, replica, vmclone
from vmclone_operator.api.backend import CloneBackendSpec, CloneBackendStatus
from vmclone_operator.api.replica import VMCloneReplicaSpec, VMCloneReplicaStatus
from vmclone_operator.api.schema import RULES, SchemaRefusedError, is_positive, structural
from vmclone_operator.api.source import CloneSourceSpec, CloneSourceStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmclone_operator.api.base import ApiModel

HASH_ANNOTATION = f"{GROUP}/schema-hash"
CATEGORY = "clones"
NOT_SEEN = {"observedGeneration": -1}

_READY = ".status.conditions[?(@.type=='Ready')]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: Literal["string", "integer", "date"] = "string"
    wide: bool = False
    """Shown by `-o wide` only."""

    def document(self) -> dict[str, Any]:
        """Return the entry under additionalPrinterColumns."""
        column: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**column, "priority": 1} if self.wide else column


AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind: its names, its models and how it is shown."""

    name: str
    plural: str
    short_name: str
    scope: Literal["Namespaced", "Cluster"]
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[Column, ...]
    rules: tuple[Mapping[str, str], ...] = ()
    """CEL rules over the whole object; they alone see metadata.name."""
    scaled: bool = False

    @property
    def crd_name(self) -> str:
        """Return the name of the CustomResourceDefinition object."""
        return f"{self.plural}.{GROUP}"


KINDS = (
    Kind(
        name="VMClone",
        plural="vmclones",
        short_name="vmc",
        scope="Namespaced",
        description="VMClone is the wish: N clones of one source, each with its own identity.",
        spec=VMCloneSpec,
        status=VMCloneStatus,
        rules=vmclone.OBJECT_RULES,
        scaled=True,
        columns=(
            Column(name="Source", path=".spec.source.name"),
            Column(name="Desired", path=".spec.replicas", type="integer"),
            Column(name="Ready", path=".status.readyReplicas", type="integer"),
            Column(name="Status", path=".status.summary"),
            Column(name="Mode", path=".status.mode", wide=True),
            Column(name="Copy", path=".status.copy.actual", wide=True),
            Column(name="Backend", path=".status.source.backend", wide=True),
            AGE,
        ),
    ),
    Kind(
        name="VMCloneReplica",
        plural="vmclonereplicas",
        short_name="vmcr",
        scope="Namespaced",
        description="VMCloneReplica is one replica of a VMClone. The operator writes it; delete it to have it rebuilt.",
        spec=VMCloneReplicaSpec,
        status=VMCloneReplicaStatus,
        rules=replica.OBJECT_RULES,
        columns=(
            Column(name="Clone", path=".status.intent.vmName"),
            Column(name="Session", path=".spec.session"),
            Column(name="State", path=".status.state"),
            Column(name="Address", path=".status.guest.addresses[0]"),
            Column(name="Progress", path=".status.percent", type="integer"),
            AGE,
        ),
    ),
    Kind(
        name="CloneSource",
        plural="clonesources",
        short_name="csrc",
        scope="Cluster",
        description="CloneSource is the owner's consent: this VM may be cloned, by whom, how and how often.",
        spec=CloneSourceSpec,
        status=CloneSourceStatus,
        columns=(
            Column(name="Backend", path=".spec.backend.name"),
            Column(name="VM", path=".spec.vm.name"),
            Column(name="Power", path=".status.power"),
            Column(name="Ready", path=f"{_READY}.status"),
            Column(name="Reason", path=f"{_READY}.reason", wide=True),
            AGE,
        ),
    ),
    Kind(
        name="CloneBackend",
        plural="clonebackends",
        short_name="cbk",
        scope="Cluster",
        description="CloneBackend is one hypervisor or cloud endpoint, who may use it and how hard.",
        spec=CloneBackendSpec,
        status=CloneBackendStatus,
        columns=(
            Column(name="Ready", path=f"{_READY}.status"),
            Column(name="Version", path=".status.version"),
            Column(name="Host", path=".spec.libvirt.host", wide=True),
            Column(name="Reason", path=f"{_READY}.reason", wide=True),
            AGE,
        ),
    ),
)


def crd(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind, stamped with the hash of its own schema."""
    names = {"kind": kind.name, "listKind": f"{kind.name}List", "plural": kind.plural, "singular": kind.name.lower()}
    spec = {
        "group": GROUP,
        "scope": kind.scope,
        "names": {**names, "shortNames": [kind.short_name], "categories": [CATEGORY]},
        "versions": [_version(kind)],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name, "annotations": {HASH_ANNOTATION: schema_hash(spec)}},
        "spec": spec,
    }


def schema_hash(spec: Mapping[str, Any]) -> str:
    """Return the first 16 hex digits of the sha256 over a CRD's spec."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def object_schema(kind: Kind) -> dict[str, Any]:
    """Return the schema of the whole object."""
    unclear = [rule["rule"] for rule in kind.rules if not is_positive(rule["message"])]
    if unclear:
        raise SchemaRefusedError(f"{kind.name}: these rules need a message that says what to write: {unclear}")
    schema: dict[str, Any] = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"The version of this schema: {GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"The kind of the object: {kind.name}."},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec),
            "status": {**structural(kind.status), "default": NOT_SEEN},
        },
    }
    return {**schema, RULES: [dict(rule) for rule in kind.rules]} if kind.rules else schema


def _version(kind: Kind) -> dict[str, Any]:
    subresources: dict[str, Any] = {"status": {}}
    if kind.scaled:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.document() for column in kind.columns],
        "subresources": subresources,
        "schema": {"openAPIV3Schema": object_schema(kind)},
    }
