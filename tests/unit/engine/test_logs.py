"""A log line is one line of JSON that no guest, name or error can forge, and no spec ever gets into it."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from kopf._cogs.clients import errors
from pydantic import ValidationError

from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.logs import JsonFormatter, TextFormatter

CANARY = "canary-4711"
FORGED = 'a\r\n{"level":"FORGED"}\x1b[31m\x9b31m\u202e\u2028'


def line(message: str, *arguments: object, failed: bool = False, text: bool = False, **extra: object) -> str:
    record = logging.LogRecord(
        "engine", logging.WARNING, __file__, 1, message, arguments, sys.exc_info() if failed else None
    )
    record.__dict__.update(extra)
    return (TextFormatter() if text else JsonFormatter()).format(record)


def test_a_line_says_when_how_bad_who_and_what() -> None:
    answer: dict[str, Any] = json.loads(line("pass of %s failed", "dev", object="VMClone/team-a/dev", count=3))
    assert answer.pop("time").endswith("+00:00")
    assert answer == {
        "level": "WARNING",
        "logger": "engine",
        "message": "pass of dev failed",
        "object": "VMClone/team-a/dev",
        "count": "3",
    }


def fail() -> None:
    raise RuntimeError(FORGED)


PLACES = {
    "in the message": {"message": FORGED},
    "in an argument": {"message": "%s", "argument": FORGED},
    "in a field": {"message": "m", "field": FORGED},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_control_characters_are_shown_not_sent(place: dict[str, str]) -> None:
    arguments = (place["argument"],) if "argument" in place else ()
    written = line(place["message"], *arguments, field=place.get("field", ""))
    assert written.isprintable()
    assert json.loads(written)["level"] == "WARNING"
    assert all(value.isprintable() for value in json.loads(written).values())


def test_an_exception_is_on_the_same_line_and_cannot_forge_another() -> None:
    try:
        fail()
    except RuntimeError:
        written = line("pass failed", failed=True)
    assert written.isprintable()
    assert "RuntimeError" in json.loads(written)["exception"]


BAD_SPECS: dict[str, dict[str, object]] = {
    "a wrong type": {"source": {"name": "golden-dev"}, "replicas": CANARY},
    "a wrong word": {"source": {"name": "golden-dev"}, "mode": CANARY},
    "a wrong form": {"source": {"name": "golden-dev"}, "sessionPrefix": f"{CANARY}!"},
    "a wrong key": {"source": {"name": "golden-dev"}, "access": {"authorizedKeys": [CANARY]}},
    "a missing field": {"sessionPrefix": CANARY},
}


@pytest.mark.parametrize("spec", BAD_SPECS.values(), ids=BAD_SPECS.keys())
def test_a_spec_that_cannot_be_read_does_not_get_into_the_log(spec: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        VMCloneSpec.model_validate(spec)
    try:
        raise caught.value
    except ValidationError:
        written = line("pass failed", failed=True)
    assert "ValidationError" in written
    assert CANARY not in written


def test_what_the_api_server_answered_kopf_is_one_sentence_and_no_traceback() -> None:
    try:
        raise errors.APINotFoundError("the server could not find the requested resource", status=404, headers={})
    except errors.APIError:
        answer = json.loads(line("a watch has failed", failed=True))
    assert "could not find the requested resource" in answer["error"]
    assert "exception" not in answer


def test_a_line_of_text_says_the_same_to_a_person() -> None:
    written = line("pass of %s failed", "dev", text=True, object="VMClone/team-a/dev", reason="no space left")
    assert written.partition(" ")[2] == (
        'WARNING engine: pass of dev failed object=VMClone/team-a/dev reason="no space left"'
    )


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_line_of_text_is_one_line_whatever_is_in_it(place: dict[str, str]) -> None:
    arguments = (place["argument"],) if "argument" in place else ()
    try:
        fail()
    except RuntimeError:
        written = line(place["message"], *arguments, text=True, failed=True, field=place.get("field", ""))
    assert written.isprintable()
    assert "RuntimeError" in written
