"""Sites on the lab's libvirtd, and operators over them whose clones are not booted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.libvirt_site import Site, open_site
from tests.integration.libvirt.second_libvirtd import SecondLibvirtd
from tests.support.unbooted_story import Story


@pytest.fixture
def site() -> Iterator[Site]:
    """Make a scratch pool with a powered-off source and with strangers' things."""
    with open_site() as opened:
        yield opened


@pytest.fixture
def running_site() -> Iterator[Site]:
    """Make one whose source runs, and boots nothing."""
    with open_site(running=True) as opened:
        yield opened


@pytest.fixture
def story(site: Site) -> Iterator[Story]:
    """Run an operator over it that nothing is asked of yet."""
    with Story(site) as begun:
        yield begun


@pytest.fixture
def second(tmp_path: Path) -> Iterator[SecondLibvirtd]:
    """Run a libvirtd that nobody else uses."""
    daemon = SecondLibvirtd(tmp_path)
    try:
        daemon.create()
        yield daemon
    finally:
        daemon.remove()
