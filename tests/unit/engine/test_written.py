"""What is written equals what the API server sends back, or every settled object would be written for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from vmclone_operator.api.backend import CloneBackendStatus
from vmclone_operator.api.replica import GuestStatus, IntentStatus, VMCloneReplicaStatus
from vmclone_operator.api.schema import structural
from vmclone_operator.api.source import CloneSourceStatus
from vmclone_operator.api.vmclone import ProgressStatus, SessionStatus, VMCloneStatus
from vmclone_operator.engine.ledger.written import ObservedStatus, dumped

MODELS: list[type[ObservedStatus]] = [VMCloneStatus, VMCloneReplicaStatus, CloneSourceStatus, CloneBackendStatus]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)


def filled(schema: dict[str, Any]) -> Any:
    """Return a document with every field of the schema set to something that is not its default."""
    match schema["type"]:
        case "object":
            if "additionalProperties" in schema:
                return {"key": filled(schema["additionalProperties"])}
            return {name: filled(child) for name, child in schema["properties"].items()}
        case "array":
            return [filled(schema["items"])]
        case "integer":
            return 7
        case "boolean":
            return True
        case _:
            return "True"


def stored(schema: dict[str, Any], value: Any) -> Any:
    """Return the value as the API server keeps it: unknown fields pruned, arrived as JSON."""
    if isinstance(value, dict) and "additionalProperties" in schema:
        return {name: stored(schema["additionalProperties"], child) for name, child in value.items()}
    if isinstance(value, dict):
        known = schema["properties"]
        return {name: stored(known[name], child) for name, child in value.items() if name in known}
    if isinstance(value, list | tuple):
        return [stored(schema["items"], item) for item in value]
    return json.loads(json.dumps(value))


def comes_back(status: ObservedStatus) -> None:
    model: type[BaseModel] = type(status)
    document = dumped(status)
    back = stored(structural(model), document)
    assert back == document
    assert model.model_validate(back) == status


@each_model
def test_a_full_status_loses_nothing(model: type[ObservedStatus]) -> None:
    document = filled(structural(model))
    assert dumped(model.model_validate(document)) == document
    comes_back(model.model_validate(document))


@each_model
def test_an_empty_status_says_only_what_generation_it_speaks_about(model: type[ObservedStatus]) -> None:
    """-1 stays written: the API server would put it there."""
    assert dumped(model()) == {"observedGeneration": -1}
    comes_back(model())


PARTLY: dict[str, ObservedStatus] = {
    "a part that is as by default": VMCloneStatus(observed_generation=1, progress=ProgressStatus()),
    "a part that is partly set": VMCloneReplicaStatus(intent=IntentStatus(op="Clone", token="t")),
    "a part that is there and empty": VMCloneReplicaStatus(guest=GuestStatus()),
    "a list of parts": VMCloneStatus(sessions=(SessionStatus(ordinal=1, session="dev"),)),
    "a list of words": VMCloneReplicaStatus(guest=GuestStatus(addresses=("10.0.0.7", "fd00::7"))),
}


@pytest.mark.parametrize("status", PARTLY.values(), ids=PARTLY.keys())
def test_a_status_comes_back_as_it_was_written(status: ObservedStatus) -> None:
    comes_back(status)


def test_a_value_that_returns_to_its_default_is_absent_again() -> None:
    status = VMCloneStatus(observed_generation=1, ready_replicas=2)
    assert "readyReplicas" not in dumped(status.model_copy(update={"ready_replicas": 0}))
