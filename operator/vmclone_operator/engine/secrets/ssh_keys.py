"""Makes SSH key pairs in memory, in OpenSSH's own formats."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An ed25519 key; the private half is never shown."""

    private: str = field(repr=False)
    public: str
    """`ssh-ed25519 AAAA...`, without a comment."""


def new_key() -> KeyPair:
    """Return a fresh ed25519 key pair."""
    return _pair(Ed25519PrivateKey.generate())


def read_key(private: str) -> KeyPair:
    """Return the pair of a private key that `new_key` made; raises ValueError for anything else."""
    key = serialization.load_ssh_private_key(private.encode(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the stored key is no ed25519 key")  # noqa: TRY004  - a value from a Secret, not a type
    return KeyPair(private, _pair(key).public)  # written again, the private half would be another text


def _pair(key: Ed25519PrivateKey) -> KeyPair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode(), public.decode())
