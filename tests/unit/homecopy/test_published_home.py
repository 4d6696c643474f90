"""What stays behind of a home whose secrets have the places and shapes of lists that are not ours."""

from __future__ import annotations

import io
import os

import pytest
from tests.support.published.home import Recall, canaries, plant, recall

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.source.scan import Scan

LEAST = {"all": 86.5, "places": 99.0, "harmless names": 80.5}
"""What is reached today, so that it never gets less; wanted are 90 % at places, 80 % under harmless names."""
LEAST_OF_A_FAMILY = 60.0
LEAST_LISTS = 8


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recall]:
    home = tmp_path_factory.mktemp("home")
    plant(home)
    output = io.BytesIO()
    Scan(os.fsencode(home), {"rules": floor().rules, "excludes": [], "allow": []}, output).run(["."])
    return recall({os.fsdecode(name)[2:] for name in output.getvalue().split(b"\0") if name})


@pytest.mark.parametrize("group", LEAST)
def test_what_others_call_a_secret_stays_behind_as_often_as_before(group: str, found: dict[str, Recall]) -> None:
    assert found[group].percent >= LEAST[group], found[group]


def test_no_family_is_left_aside(found: dict[str, Recall]) -> None:
    families = {group: recalled for group, recalled in found.items() if group.startswith("family ")}
    assert {group: str(recalled) for group, recalled in families.items() if recalled.percent < LEAST_OF_A_FAMILY} == {}


def test_the_canaries_come_from_several_lists() -> None:
    assert len({canary.source.partition(":")[0] for canary in canaries()}) >= LEAST_LISTS
