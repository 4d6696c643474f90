"""libvirt's errors in our words: the one place where their codes are read.

Texts are looked at only where libvirt has no code of its own for the case. What a provider says is
foreign text: it is escaped and capped before it may reach a condition or a log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import libvirt

from vmclone_operator.domain.errors import (
    AgentNotReady,
    BackendUnreachable,
    CloneError,
    CloneFailed,
    CredentialsInvalid,
    GuestAgentMissing,
    InsufficientSpace,
    RetryLater,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT = 1024
T = TypeVar("T")

_CONNECTION_CODES = frozenset(
    {
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_GNUTLS_ERROR,
        libvirt.VIR_ERR_NO_SERVER,
        libvirt.VIR_ERR_NO_CLIENT,
        libvirt.VIR_ERR_SSH,
    }
)
_AUTH_CODES = frozenset(
    {
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
        libvirt.VIR_ERR_ACCESS_DENIED,
        libvirt.VIR_ERR_OPERATION_DENIED,
    }
)
_AGENT_CODES = frozenset({libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED})
_BUSY_CODES = frozenset(
    {
        libvirt.VIR_ERR_OPERATION_TIMEOUT,
        libvirt.VIR_ERR_OPERATION_ABORTED,
        libvirt.VIR_ERR_RESOURCE_BUSY,
        libvirt.VIR_ERR_NO_MEMORY,
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_NO_STORAGE_VOL,
    }
)
_TRANSPORT_DOMAINS = frozenset({libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE, libvirt.VIR_FROM_NET})
_AUTH_TEXTS = (
    *("certificate", "authentication failed", "tls handshake"),
    *("session host key", "private key"),
)
_CLOSED_TEXTS = ("client socket is closed", "connection closed", "end of file", "keepalive")
_NOT_RUNNING_TEXT = "domain is not running"
_FROZEN_TEXT = "in frozen state"
_AGENT_REFUSED_TEXTS = ("has been disabled", "has not been found", "is not allowed")


def plain(text: str) -> str:
    """Return foreign text as one printable line of at most 1 KiB."""
    line = " ".join(text.split())
    printable = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in line)
    return printable.encode()[:MAX_TEXT].decode(errors="ignore")


def translated(error: libvirt.libvirtError) -> CloneError:
    """Return what a libvirt error means to us."""
    return _kind(error)(plain(error.get_error_message() or str(error)))


def _kind(error: libvirt.libvirtError) -> Callable[[str], CloneError]:
    code, text = error.get_error_code(), (error.get_error_message() or "").lower()
    if code in _AUTH_CODES:
        return CredentialsInvalid
    if code in _AGENT_CODES:
        return AgentNotReady
    if is_connection_loss(error):
        return CredentialsInvalid if any(part in text for part in _AUTH_TEXTS) else BackendUnreachable
    if "guest agent" in text or "qemu agent" in text:
        return _agent_kind(code, text)
    if "no space left" in text or "not enough free space" in text:
        return InsufficientSpace
    return RetryLater if code in _BUSY_CODES or _NOT_RUNNING_TEXT in text else CloneFailed


def _agent_kind(code: int, text: str) -> Callable[[str], CloneError]:
    if _FROZEN_TEXT in text:  # the agent takes no commands until somebody thaws the guest
        return AgentNotReady
    refused = code == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED or any(part in text for part in _AGENT_REFUSED_TEXTS)
    return GuestAgentMissing if refused else AgentNotReady


def is_connection_loss(error: libvirt.libvirtError) -> bool:
    """Return whether the connection is gone, so that the next call needs a new one."""
    code, text = error.get_error_code(), (error.get_error_message() or "").lower()
    if code in _CONNECTION_CODES:
        return True
    if error.get_error_domain() not in _TRANSPORT_DOMAINS:
        return False
    return code == libvirt.VIR_ERR_SYSTEM_ERROR or any(part in text for part in (*_CLOSED_TEXTS, *_AUTH_TEXTS))


def is_code(error: libvirt.libvirtError, *codes: int) -> bool:
    """Return whether the error has one of these codes."""
    return error.get_error_code() in codes


def found(look: Callable[[], T], *absent: int) -> T | None:
    """Return what `look` finds, or None when libvirt answers that there is no such object."""
    try:
        return look()
    except libvirt.libvirtError as error:
        if error.get_error_code() in absent:
            return None
        raise
