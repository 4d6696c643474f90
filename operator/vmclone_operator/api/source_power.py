"""How a source was before it was switched: written down twice, for a status may be wiped and a source must go back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vmclone_operator.api.base import ApiModel, ProviderID, ShortText, Timestamp

MOST_SWITCHED = 100
"""How many VMClones a CloneSource names that its VM is switched for."""


class SwitchedSource(ApiModel):
    """A source VM that is switched for a VMClone."""

    id: ProviderID
    """The backend's own id of the source VM."""
    backend: ShortText
    """The CloneBackend that holds it."""
    was: ShortText
    """On or Off: what it is put back to."""
    wanted: ShortText
    """On or Off: what it is switched to."""
    recorded_time: Timestamp = ""
    """When this was written down."""


class SourcePowerStatus(SwitchedSource):
    """That the source is switched for this VMClone, and how it was before: written before it is switched."""

    reached: bool = False
    """Whether it was seen so; if it is otherwise afterwards, somebody else switched it and it is left alone."""
    return_time: Timestamp = ""
    """When it was decided that it goes back: until it is back no other VMClone has it switched."""


class SwitchedFor(SwitchedSource):
    """The same in the status of the CloneSource: for people, and for a VMClone whose own status was wiped."""

    vmclone: Annotated[str, Field(max_length=512)]
    """Namespace and name of the VMClone."""
    vmclone_uid: Annotated[ShortText, Field(alias="vmCloneUID")]
    """Its uid: another one of that name has nothing to do with it."""
