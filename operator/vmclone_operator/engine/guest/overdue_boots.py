"""Asks once what the console of a clone says whose boot is overdue, so that its status can say whether it booted."""

from __future__ import annotations

import logging

from vmclone_operator.domain.backend import BackendSession, CloneRef, ObservedClone, Power
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.engine.context import Engine

log = logging.getLogger(__name__)


async def console_of(engine: Engine, session: BackendSession, ref: CloneRef, silent: ObservedClone | None) -> str:
    """Return the console's last words, raw; `silent`: the clone that does not answer, None when that is not so.

    What was heard is kept until the clone answers or is off: asked again, a guest that gave up says nothing new.
    A backend that fails costs the words, never the pass.
    """
    incarnation = ref.stamp.incarnation
    if silent is None or silent.power is not Power.ON:
        engine.consoles.pop(incarnation, None)
        return ""
    if incarnation not in engine.consoles:
        try:
            engine.consoles[incarnation] = await session.console_tail(ref)
        except CloneError as error:
            log.warning("console not read", extra={"vm": silent.vm_name, "error": str(error)})
            return ""
    return engine.consoles[incarnation]
