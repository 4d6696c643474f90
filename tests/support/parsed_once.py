"""Makes models of documents at the price of looking them up: simulations read the same few statuses all the time.

A model is frozen and follows from its document alone, so the one that was made of the same content before is as good.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vmclone_operator.api.base import ApiModel

_MOST = 10_000


@contextmanager
def parsed_once() -> Iterator[None]:
    """Remember the models that are made, as long as this lasts."""
    made: dict[tuple[type[ApiModel], bytes], ApiModel] = {}
    validate = ApiModel.model_validate.__func__  # type: ignore[attr-defined]

    def looked_up(cls: type[ApiModel], /, obj: Any, **more: Any) -> ApiModel:
        if more:
            return validate(cls, obj, **more)  # type: ignore[no-any-return]
        try:
            key = (cls, marshal.dumps(obj))
        except ValueError:  # not quite a JSON document
            return validate(cls, obj)  # type: ignore[no-any-return]
        if key not in made:
            if len(made) >= _MOST:
                made.clear()
            made[key] = validate(cls, obj)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ApiModel, "model_validate", classmethod(looked_up))
        yield
