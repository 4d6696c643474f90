"""What is wrong with a file of a Secret is said in one sentence a fault, never with what is in it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from vmclone_operator.engine.secrets.secret_file import SecretFileUnusable, text_of


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


FAULTS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "no Secret": (None, "does not exist"),
    "an empty Secret": ({"metadata": {}}, "has no key file"),
    "another file": ({"data": {"other": encoded(b"x")}}, "has no key file"),
    "bytes that are no text": ({"data": {"file": encoded(b"\xff\xfe")}}, "has a key file that is not text in UTF-8"),
    "what is no base64": ({"data": {"file": "a b"}}, "has a key file that is not text in UTF-8"),
}


@pytest.mark.parametrize(("secret", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_every_fault_has_its_sentence(secret: dict[str, Any] | None, said: str) -> None:
    with pytest.raises(SecretFileUnusable, match=f"^{said}$"):
        text_of(secret, "file")


def test_the_text_is_what_was_written() -> None:
    assert text_of({"data": {"file": encoded("größer\n".encode())}}, "file") == "größer\n"
