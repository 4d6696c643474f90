"""One operator process's way to the simulated hypervisor: each external call is fenced, counted, and may go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from vmclone_operator.domain.errors import BackendUnreachable

if TYPE_CHECKING:
    from vmclone_operator.domain.backend import Fence
    from vmclone_operator.providers.fake.world import World

Answer = TypeVar("Answer")


class Calls:
    """The external calls inside one verb: single reads and single writes, as a real adapter makes them."""

    def __init__(self, world: World, fence: Fence, *, process: int, verb: str, is_open: Callable[[], bool]) -> None:
        self._world, self._fence, self._process, self._verb, self._is_open = world, fence, process, verb, is_open

    def read(self, call: str, target: str, look: Callable[[], Answer]) -> Answer:
        """Look at the hypervisor."""
        return self._run(call, target, look, writes=False)

    def write(self, call: str, target: str, effect: Callable[[], Answer], *, fenced: bool = True) -> Answer:
        """Change the hypervisor; `fenced=False` only for what must happen whoever leads, such as a thaw."""
        self._world.faults.check_alive(self._process)
        if fenced:
            self._fence()
        return self._run(call, target, lambda: self._done(effect()), writes=True)

    def _run(self, call: str, target: str, effect: Callable[[], Answer], *, writes: bool) -> Answer:
        faults = self._world.faults
        faults.check_alive(self._process)
        if not self._is_open():
            raise BackendUnreachable("this session was closed")
        return faults.run(self._verb, call, target, effect, advance=self._world.advance, writes=writes)

    def _done(self, answer: Answer) -> Answer:
        self._world.effects.writes += 1
        self._world.saved()
        return answer
