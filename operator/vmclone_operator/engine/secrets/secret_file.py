"""A file of a Secret, as text: whoever reads one says whose Secret it is, this says what is wrong with the file."""

from __future__ import annotations

import base64
import binascii

from vmclone_operator.kube.cluster import Document


class SecretFileUnusable(ValueError):  # noqa: N818  - what it says of the file
    """What is wrong with the file, to be put after the Secret's name."""


def text_of(secret: Document | None, file: str) -> str:
    """Return a file of a Secret; raises SecretFileUnusable."""
    if secret is None:
        raise SecretFileUnusable("does not exist")
    data = secret.get("data") or {}
    if file not in data:
        raise SecretFileUnusable(f"has no key {file}")
    try:
        return base64.b64decode(data[file], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise SecretFileUnusable(f"has a key {file} that is not text in UTF-8") from None
