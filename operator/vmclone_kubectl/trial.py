"""What a manifest would do, found out before it is applied. Pure: documents in, documents and lines out.

A VMClone that does not exist yet is tried as one that is only planned, under a name of its own; the sessions are those
that it would have, and labels by which other programs own objects stay away:

    VMClone dev, 3 replicas   ->   VMClone dev-plan-xxxxx, sessionPrefix dev, plan.mode DryRun, label vmclone.dev/plan

For one that exists the API server says what its spec would be, and the difference is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmclone_kubectl import documents
from vmclone_kubectl.documents import Document
from vmclone_kubectl.kubectl import KubectlError

LABEL = f"{documents.GROUP}/plan"
"""On a VMClone that is only there to be planned."""
_OWNERS = frozenset({"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "applyset.kubernetes.io/part-of"})
_LONGEST = 40
"""Of a name in front of `-plan-` and what the API server adds."""
_ABSENT = "(absent)"


def only_wish(found: Sequence[Document], file: str) -> Document:
    """Return the VMClone of a file; raises KubectlError when there is none or more than one."""
    wishes = [one for one in found if one.get("kind") == "VMClone"]
    if len(wishes) != 1:
        there = ", ".join(f"{one.get('kind')} {documents.name(one)}" for one in found) or "nothing"
        raise KubectlError(f"{file} must have one VMClone, and has {there}")
    return wishes[0]


def trial_of(wish: Document) -> dict[str, Any]:
    """Return the VMClone that has the operator plan the wish and make nothing."""
    name = documents.name(wish)
    short = name[:_LONGEST].rstrip("-.")  # neither a label's value nor a part of a name ends in these
    meta = wish["metadata"]
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if not _owns(key)}
    spec: dict[str, Any] = {"sessionPrefix": name, **wish["spec"], "plan": {"mode": "DryRun"}}
    return {
        "apiVersion": wish["apiVersion"],
        "kind": wish["kind"],
        "metadata": {"generateName": f"{short}-plan-", "labels": {**labels, LABEL: short}},
        "spec": spec,
    }


def _owns(label: str) -> bool:
    return label in _OWNERS or label.startswith(("argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm."))


def named(trial: Document, name: str) -> Document:
    """Return the trial as the VMClone that it stands for, for people."""
    return {**trial, "metadata": {**trial["metadata"], "name": name}}


def answered(trial: Document) -> bool:
    """Return whether the operator has said all that it has to say of a trial."""
    if documents.status(trial).get("observedGeneration", -1) != trial["metadata"]["generation"]:
        return False
    ready = documents.condition(trial, "Ready")
    return ready is not None and ready.reason != "Progressing"


def stands_in_the_way(trial: Document) -> bool:
    """Return whether anything speaks against the wish: a finding, or a cause why it cannot even be planned."""
    ready = documents.condition(trial, "Ready")
    blockers = (documents.status(trial).get("plan") or {}).get("blockers")
    return bool(blockers) or ready is None or not ready.status


def changes(now: Document, then: Document) -> Iterator[str]:
    """Return what differs in the spec, one line for each field, in the order of their names."""
    before, after = dict(_fields(now.get("spec", {}), "spec")), dict(_fields(then.get("spec", {}), "spec"))
    for path in sorted(before.keys() | after.keys()):
        if before.get(path, _ABSENT) != after.get(path, _ABSENT):
            yield f"{path}: {before.get(path, _ABSENT)} -> {after.get(path, _ABSENT)}"


def _fields(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _fields(item, f"{path}.{key}")
        else:
            yield f"{path}.{key}", item


def what_comes_of_it(now: Document, then: Document) -> Iterator[str]:
    """Return what a change of a VMClone's spec means for its clones, as far as the spec alone says it."""
    old, new = (int(document["spec"].get("replicas", 1)) for document in (now, then))
    if new > old:
        yield f"{new - old} more replicas are made"
    if new < old:
        yield f"{old - new} replicas are removed with their VMs, the highest numbers first"
    if any(now["spec"].get(field) != then["spec"].get(field) for field in ("template", "source", "mode", "disk")):
        if (then["spec"].get("rollout") or {}).get("update") == "Recreate":
            yield "clones of the older template are given up, with all that is on them, and made anew"
        else:
            yield "clones that exist stay as they are; new ones are made from it"
