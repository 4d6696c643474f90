"""The fleet's own operator."""

from __future__ import annotations

from tests.fleet.conftest import fleet

__all__ = ["fleet"]
