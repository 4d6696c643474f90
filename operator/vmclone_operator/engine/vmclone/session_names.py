"""Sessions of one VMClone: recorded once, kept for life, and nobody else's in the namespace.

A session is given in the moment in which nobody else is found to have it (`take`), and counts as recorded from then on:
the write that records it may take long, and the rival that looks meanwhile does not see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence

from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.domain import naming
from vmclone_operator.domain.rollout import session_conflicts
from vmclone_operator.domain.steps import Blocker
from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.objects.lineage import order_of, owner_uid, sessions_of, uid_of
from vmclone_operator.kube.cluster import Document

Claim = tuple[str, bool, tuple[str, str]]
"""VMClone name, whether the session is recorded there, and since when (creation time, uid)."""


def recorded_sessions(status: VMCloneStatus, replicas: Sequence[Document]) -> dict[int, str]:
    """Return the session of every ordinal that has one: from status, or (where that was wiped) from the replicas."""
    borne = {int(document["spec"]["ordinal"]): str(document["spec"]["session"]) for document in replicas}
    return borne | {row.ordinal: row.session for row in status.sessions}


def wanted_sessions(vmclone: Document, recorded: Mapping[int, str]) -> dict[int, str]:
    """Return the sessions that a VMClone has and those it wishes for; many ask this of many, so nothing is parsed."""
    spec = vmclone["spec"]
    prefix = spec.get("sessionPrefix") or vmclone["metadata"]["name"]
    return naming.assign_sessions(recorded, prefix=prefix, replicas=spec["replicas"])


Turns = MutableMapping[tuple[str, str], str]
"""By namespace and session, the uid of the VMClone that was given it."""


def take(turns: Turns, vmclone: Document, sessions: Iterable[str]) -> None:
    """Give a VMClone sessions that nobody else has; called in the same moment as that was found out."""
    namespace, uid = vmclone["metadata"]["namespace"], uid_of(vmclone)
    turns.update({(namespace, session): uid for session in sessions})


def give_back(turns: Turns, vmclone: Document) -> bool:
    """Forget what a VMClone was given, as its status has it or it wishes for nothing; return whether that was any."""
    uid = uid_of(vmclone)
    given = [session for session, holder in turns.items() if holder == uid]
    for session in given:
        del turns[session]
    return bool(given)


def conflict_with(
    cache: Cache, turns: Turns, vmclone: Document, recorded: dict[int, str], found: Mapping[int, str]
) -> Blocker | None:
    """Return why the VMClone must wait: another one of its namespace holds a session it wishes for.

    `found`: the sessions of VMs that it would go on with.
    """
    mine = wanted_sessions(vmclone, {**found, **recorded})
    if mine.keys() <= recorded.keys():
        return None  # what is recorded is kept: only those that begin look at the others
    claims: dict[str, Claim] = {}
    for ordinal, session in mine.items():
        if ordinal not in recorded:
            _add_claims(claims, cache, turns, session, vmclone)
    conflict = session_conflicts(mine, recorded, claims, order_of(vmclone))
    if conflict is None:
        return None
    session, holder = conflict
    message = f"session {session} is held by VMClone {holder}; write another spec.sessionPrefix in a new VMClone"
    return Blocker(reason="SessionConflict", message=message)


def _add_claims(claims: dict[str, Claim], cache: Cache, turns: Turns, session: str, mine: Document) -> None:
    """Add the strongest claim that others have on a session: a recorded one, or else the oldest."""
    namespace = mine["metadata"]["namespace"]
    bearer = cache.replica_of_session(namespace, session)
    for other in cache.claiming(namespace, session):
        if uid_of(other) == uid_of(mine):
            continue
        borne = bearer is not None and owner_uid(bearer) == uid_of(other)  # a replica is a record as well
        given = turns.get((namespace, session)) == uid_of(other)  # and so is a turn, whose write is on its way
        recorded = borne or given or (session, True) in sessions_of(other).values()
        if not recorded and _is_only_planned(other):
            continue  # it will make nothing; many such stand for a wish that is applied later
        claim = (other["metadata"]["name"], recorded, order_of(other))
        known = claims.get(session)
        if known is None or (not claim[1], claim[2]) < (not known[1], known[2]):
            claims[session] = claim


def _is_only_planned(vmclone: Document) -> bool:
    return (vmclone["spec"].get("plan") or {}).get("mode") == "DryRun"
