"""What home copies and seeds left in the operator's own namespace: Jobs and Secrets that belong to nobody any more.

Of Secrets only names and labels are asked for, never what is in them. People delete what is told here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vmclone_operator.domain.labels import INCARNATION_LABEL, recommended
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.platform.sweep import living
from vmclone_operator.homecopy.job_manifest import COMPONENT
from vmclone_operator.kube.cluster import Document, Kind

_JOB = "this home copy belongs to no VMCloneReplica; delete the Job and the Secret of its name"
_SECRET = "this Secret was made for a VMCloneReplica that is gone; delete it"  # noqa: S105  - a sentence
_OF_ALL = ("app.kubernetes.io/part-of", "app.kubernetes.io/managed-by")


async def look_for_objects(engine: Engine) -> None:
    """Remember which Jobs and Secrets of ours belong to nobody, and say so on each, once."""
    jobs, secrets = _suspected(engine, await _jobs(engine)), _suspected(engine, await _secrets(engine))
    found = await _confirmed(engine, [*jobs, *secrets], hasty={_uid(secret) for secret in secrets})
    jobs = [job for job in jobs if _uid(job) in found]
    secrets = [secret for secret in secrets if _uid(secret) in found]
    engine.leftover_jobs = tuple(job["metadata"]["name"] for job in jobs)
    engine.leftover_secrets = tuple(secret["metadata"]["name"] for secret in secrets)
    for kind, note, documents in ((Kind.JOB, _JOB, jobs), (Kind.SECRET, _SECRET, secrets)):
        for document in documents:
            if _uid(document) not in engine.told_objects:
                await engine.events.post(kind, document, reason="OrphansFound", action="Sweep", note=note, warning=True)
    engine.told_objects = found


async def _confirmed(engine: Engine, documents: Sequence[Document], hasty: Collection[str]) -> frozenset[str]:
    """Return the uids of those whose owners are not there, read live; of those that were told already that stands."""
    told = engine.told_objects.intersection(map(_uid, documents))
    new = [document for document in documents if _uid(document) not in told]
    if not new:
        return told
    alive = await living(engine)
    nobodys = {_uid(document) for document in new if _incarnation(document) not in alive}
    if nobodys & set(hasty):  # a Secret that went meanwhile went with its replica
        nobodys -= set(hasty) - {_uid(secret) for secret in await _secrets(engine)}
    return told | nobodys


async def _jobs(engine: Engine) -> Sequence[Document]:
    labels = {"app.kubernetes.io/component": COMPONENT}
    return await engine.cluster.list(Kind.JOB, namespace=engine.pods.namespace, labels=labels)


async def _secrets(engine: Engine) -> Sequence[Document]:
    namespace, labels = engine.pods.namespace, {name: recommended("")[name] for name in _OF_ALL}
    found = await engine.cluster.list_metadata(Kind.SECRET, namespace=namespace, labels=labels)
    return [secret for secret in found if _incarnation(secret)]


def _suspected(engine: Engine, documents: Sequence[Document]) -> list[Document]:
    return [one for one in documents if engine.cache.by_incarnation(_incarnation(one)) is None]


def _uid(document: Document) -> str:
    return str(document["metadata"]["uid"])


def _incarnation(document: Document) -> str:
    return str((document["metadata"].get("labels") or {}).get(INCARNATION_LABEL, ""))
