"""Renders the Job and the Secret of one copy: pure, so that what a copy may do can be read and compared.

Names follow from the incarnation and the attempt alone, so the same copy is the same Job after any crash. No
value of a user stands in the pod: they are in the Secret's `job.json`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vmclone_operator.domain.labels import INCARNATION_LABEL, recommended
from vmclone_operator.homecopy.job import CopyJob, Transfer
from vmclone_operator.homecopy.pod_place import PodPlace

COMPONENT = "home-copy"
SOURCE_LABEL = "vmclone.dev/source"
TERMINATION_LOG = "/dev/termination-log"
_GRACE_SECONDS = 30
_MODULE = "vmclone_operator.homecopy.relay"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOwner:
    """Whose copy it is."""

    vmclone: str
    vmclone_uid: str
    ordinal: int
    incarnation: str
    """The VMCloneReplica's uid."""
    attempt: int
    source: str = ""
    """Names the source VM over all CloneSources: copies of one source queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """What the operator's administrator decides about the pods."""

    namespace: str
    image: str
    place: PodPlace = field(default_factory=PodPlace)
    staging_size: str = "50Gi"
    """The most that a staged copy may hold on its volume, which dies with the pod: the next attempt begins anew."""


def copy_name(owner: CopyOwner) -> str:
    """Return the name of the Job and its Secret."""
    return copy_name_of(owner.incarnation, str(owner.attempt))


def copy_name_of(incarnation: str, attempt: str) -> str:
    """Return the name of an attempt's Job and Secret."""
    return f"vmclone-home-{incarnation.replace('-', '')[:20]}-{attempt}"


def labels(owner: CopyOwner) -> dict[str, str]:
    """Return the labels of everything a copy makes."""
    return {
        **recommended(COMPONENT),
        "vmclone.dev/vmclone": owner.vmclone[:63].rstrip("-."),
        "vmclone.dev/vmclone-uid": owner.vmclone_uid,
        "vmclone.dev/ordinal": str(owner.ordinal),
        INCARNATION_LABEL: owner.incarnation,
        **({SOURCE_LABEL: owner.source} if owner.source else {}),
    }


def secret_manifest(
    owner: CopyOwner, settings: PodSettings, job: CopyJob, *, source_key: str, clone_key: str
) -> dict[str, Any]:
    """Return the Secret with the job's description and both private keys."""
    files = {"job.json": json.dumps(job.document(), sort_keys=True), "source_key": source_key, "clone_key": clone_key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": _metadata(owner, settings),
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in files.items()},
    }


def job_manifest(owner: CopyOwner, settings: PodSettings, job: CopyJob) -> dict[str, Any]:
    """Return the Job: one pod, one attempt; trying again is the operator's decision."""
    pod = {
        **settings.place.fields(),
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": settings.place.security_context(),
        "containers": [_container(settings, job)],
        "volumes": _volumes(owner, settings, job),
    }
    spec = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "activeDeadlineSeconds": job.timeout_seconds + 2 * _GRACE_SECONDS,
        "ttlSecondsAfterFinished": settings.place.keep_seconds,
        "template": {"metadata": _pod_metadata(owner, settings.place), "spec": pod},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(owner, settings), "spec": spec}


def _pod_metadata(owner: CopyOwner, place: PodPlace) -> dict[str, Any]:
    more = {"annotations": dict(place.annotations)} if place.annotations else {}
    return {"labels": {**place.labels, **labels(owner)}, **more}


def _metadata(owner: CopyOwner, settings: PodSettings) -> dict[str, Any]:
    return {
        "name": copy_name(owner),
        "namespace": settings.namespace,
        "labels": labels(owner),
        "annotations": {INCARNATION_LABEL: owner.incarnation},
    }


def _container(settings: PodSettings, job: CopyJob) -> dict[str, Any]:
    files = [f"/job/{name}" for name in ("job.json", "source_key", "clone_key")]
    mounts = [{"name": "job", "mountPath": "/job", "readOnly": True}, {"name": "private", "mountPath": "/tmp"}]  # noqa: S108  - the pod's own, in memory
    if job.transfer is Transfer.STAGED:
        mounts.append({"name": "staging", "mountPath": "/staging"})
    return {
        "name": COMPONENT,
        "image": settings.image,
        "command": ["python3", "-m", _MODULE, *files, TERMINATION_LOG],
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "resources": dict(settings.place.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _volumes(owner: CopyOwner, settings: PodSettings, job: CopyJob) -> list[Mapping[str, Any]]:
    volumes: list[Mapping[str, Any]] = [
        {"name": "job", "secret": {"secretName": copy_name(owner), "defaultMode": 0o440}},
        {"name": "private", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
    ]
    if job.transfer is Transfer.STAGED:
        volumes.append({"name": "staging", "emptyDir": {"sizeLimit": settings.staging_size}})
    return volumes
