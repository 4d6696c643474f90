"""What follows from documents alone, made once for each version that is held: their models, and what is told of them.

A pass over a VMClone asks for the status of each of its replicas several times, and each replica's pass for that of
its VMClone. Documents are never changed in place, so what was made of a part of one is good as long as that very part
is asked for again; another version is another object. For example, the status of `dev-1` is read by `view_of`, by the
summary and by its siblings' passes: it is parsed when it has changed, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from vmclone_operator.api.base import ApiModel
from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus
from vmclone_operator.kube.cluster import Document

Model = TypeVar("Model", bound=ApiModel)
Made = TypeVar("Made")
_MOST = 512
"""How many are held of one kind: a few VMClones of many replicas that are worked on at the same time."""
_NOTHING: Document = {}


class MadeOnce(Generic[Made]):
    """Makes something of documents and one more word, and remembers the last few hundred."""

    def __init__(self, make: Callable[[Document, str], Made], *, most: int = _MOST) -> None:
        self._make, self._most = make, most
        self._made: dict[tuple[int, str], tuple[Document, Made]] = {}

    def of(self, part: Document, word: str = "") -> Made:
        """Return what was made of this very part of a document and the word; raises what making it does."""
        place = (id(part), word)
        known = self._made.get(place)
        if known is not None and known[0] is part:  # an id is used again once its object is gone
            return known[1]
        made = self._make(part, word)
        if len(self._made) >= self._most:
            del self._made[next(iter(self._made))]
        self._made[place] = (part, made)
        return made


class ParsedOnce(Generic[Model]):
    """Makes models of one kind, and remembers the last few hundred."""

    def __init__(self, model: type[Model], *, most: int = _MOST) -> None:
        self._made: MadeOnce[Model] = MadeOnce(lambda part, _: model.model_validate(part), most=most)

    def of(self, part: Document | None) -> Model:
        """Return the model of a part of a document; of none, the model with nothing set.

        Raises pydantic's ValidationError for what the schema does not allow.
        """
        return self._made.of(part or _NOTHING)


_REPLICA_STATUS = ParsedOnce(VMCloneReplicaStatus)
_VMCLONE_STATUS = ParsedOnce(VMCloneStatus)
_VMCLONE_SPEC = ParsedOnce(VMCloneSpec)


def replica_status(replica: Document) -> VMCloneReplicaStatus:
    """Return the status of a VMCloneReplica."""
    return _REPLICA_STATUS.of(replica.get("status"))


def vmclone_status(vmclone: Document) -> VMCloneStatus:
    """Return the status of a VMClone."""
    return _VMCLONE_STATUS.of(vmclone.get("status"))


def vmclone_spec(vmclone: Document) -> VMCloneSpec:
    """Return the spec of a VMClone."""
    return _VMCLONE_SPEC.of(vmclone["spec"])
