"""The demo over the double of Proxmox VE: an operator that knows only its API, and clones that really boot."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.remote import demos

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module", autouse=True)
def shown(count_boots: Callable[[int], None]) -> Iterator[str]:
    """What the demo printed."""
    count_boots(demos.BOOTS)
    yield demos.run_demo("proxmox")
    demos.lab_without("pve")


def test_no_two_machines_have_an_identity_in_common() -> None:
    demos.check_identities()


def test_a_clone_of_the_disk_has_no_secret_of_its_sources_home() -> None:
    demos.check_homes()


def test_without_vmclones_there_is_neither_a_machine_nor_a_file_of_the_double() -> None:
    """Last in this module."""
    demos.check_nothing_left("pve-")
