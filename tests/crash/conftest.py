"""Makes the simulations of this folder cheap: hundreds of thousands of passes read the same few documents."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest
from tests.support.parsed_once import parsed_once


@pytest.fixture(autouse=True, scope="session")
def cheap_simulations() -> Iterator[None]:
    """Parse each document once, log nothing, and look for garbage rarely: what is made here is small and dies soon."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 50)
    logging.disable(logging.WARNING)
    with parsed_once():
        yield
    logging.disable(logging.NOTSET)
    gc.set_threshold(*before)
