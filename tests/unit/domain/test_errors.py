"""What an error tells whoever has to act on it."""

from __future__ import annotations

import pytest

from vmclone_operator.domain.errors import FrozenPointInUse

HOLDERS = {
    "one disk is named": (["a"], "a"),
    "three are named": (["a", "b", "c"], "a, b, c"),
    "of more the first three, and how many there are": (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
}


@pytest.mark.parametrize(("disks", "told"), HOLDERS.values(), ids=HOLDERS.keys())
def test_a_frozen_point_that_is_held_names_what_holds_it(disks: list[str], told: str) -> None:
    error = FrozenPointInUse.by(disks)
    assert (error.reason, str(error)) == ("HeldBy", f"the frozen point is still the base of {told}")
