"""kopf copies no object that changes and writes nothing about what it saw: it only tells us that something changed."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf
import pytest

from vmclone_operator.handlers import configure


class Large(dict[str, Any]):
    """A status that nobody should copy."""

    def __deepcopy__(self, memo: object) -> Large:
        raise AssertionError("it was copied")


def test_an_object_that_changes_is_neither_copied_nor_annotated() -> None:
    settings = kopf.OperatorSettings()
    asyncio.run(configure(settings=settings))
    kept, patch = settings.persistence.diffbase_storage, kopf.Patch()
    body = kopf.Body({"metadata": {"name": "dev", "annotations": {"a": "b"}}, "status": Large(replicas=100)})
    essence = kept.build(body=body)
    assert (dict(essence), kept.fetch(body=body)) == ({}, None)
    kept.store(body=body, patch=patch, essence=essence)
    assert not patch


def test_kopfs_own_storage_would_copy_it() -> None:
    body = kopf.Body({"metadata": {"name": "dev"}, "status": Large(replicas=100)})
    with pytest.raises(AssertionError, match="it was copied"):
        kopf.OperatorSettings().persistence.diffbase_storage.build(body=body)
