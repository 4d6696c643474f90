"""Whether the API server serves our kinds as this operator knows them.

An older CustomResourceDefinition drops the fields it does not know, silently: intents would be lost. So an
operator that meets one does not start and says what to run. A newer one has all that we need and is fine.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vmclone_operator.api.crds import HASH_ANNOTATION, KINDS, crd
from vmclone_operator.kube.cluster import Cluster, ClusterError, Document, Key, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REMEDY = (
    "run: kubectl apply --server-side --force-conflicts -f crds/"
    " (installed by Helm: helm upgrade with --set crds.enabled=true)"
)
_NAMED = 3


class KindsUnfit(Exception):  # noqa: N818  - named for what is wrong
    """The API server no longer serves our kinds as we know them; the text says which and what to run."""


async def demand_kinds(cluster: Cluster) -> None:
    """Raise KindsUnfit when a kind is missing or older than this operator, and nothing when nobody can say."""
    problems: list[str] = []
    with suppress(ClusterError):
        problems = await stale_kinds(cluster)
    if problems:
        raise KindsUnfit("; ".join([*problems, REMEDY]))


async def stale_kinds(cluster: Cluster) -> list[str]:
    """Return a sentence for each kind that is missing, not established yet or older than this operator."""
    problems = []
    for kind in KINDS:
        served = await cluster.get(Key(Kind.CRD, "", kind.crd_name))
        problem = "is not installed" if served is None else problem_of(served, crd(kind))
        if problem:
            problems.append(f"CustomResourceDefinition {kind.crd_name} {problem}")
    return problems


def problem_of(served: Document, ours: Document) -> str:
    """Return what is wrong with a served definition, an empty string when nothing is."""
    conditions = (served.get("status") or {}).get("conditions") or []
    if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
        return "is not established yet"
    if _hash(served) == _hash(ours):
        return ""
    missing = sorted(_paths(ours) - _paths(served))
    if not missing:
        return ""
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return f"is older than this operator: it lacks {', '.join(missing[:_NAMED])}{more}"


def _hash(document: Document) -> str:
    annotations: Mapping[str, str] = document["metadata"].get("annotations") or {}
    return annotations.get(HASH_ANNOTATION, "")


def _paths(document: Document) -> set[str]:
    """Return the path of every field of every served version."""
    versions = [v for v in document["spec"]["versions"] if v["served"]]
    return {path for v in versions for path in _fields(v["schema"]["openAPIV3Schema"], v["name"])}


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    yield path
    for name, field in (schema.get("properties") or {}).items():
        yield from _fields(field, f"{path}.{name}")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from _fields(inner, f"{path}[]")
