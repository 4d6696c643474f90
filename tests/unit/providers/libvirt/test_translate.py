"""What libvirt's errors mean to the engine: row by row, with the texts that libvirt 9.0 was seen to send."""

from __future__ import annotations

import libvirt
import pytest

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
from vmclone_operator.providers.libvirt import translate


def _error(code: int, domain: int, text: str) -> libvirt.libvirtError:
    error = libvirt.libvirtError(text)
    error.err = (code, domain, text, libvirt.VIR_ERR_ERROR, None, None, None, -1, -1)
    return error


QEMU, RPC, AGENT = libvirt.VIR_FROM_QEMU, libvirt.VIR_FROM_RPC, libvirt.VIR_ERR_AGENT_UNRESPONSIVE
SYSTEM, INTERNAL = libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR
SSH = libvirt.VIR_ERR_SSH
NO_AGENT = libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED
UNABLE = "unable to execute QEMU agent command 'guest-exec': "


@pytest.mark.parametrize(
    ("code", "domain", "text", "expected"),
    [
        pytest.param(SYSTEM, RPC, "Cannot write data: Broken pipe", BackendUnreachable, id="libvirtd went away"),
        pytest.param(INTERNAL, RPC, "client socket is closed", BackendUnreachable, id="a closed socket"),
        pytest.param(libvirt.VIR_ERR_RPC, RPC, "disconnected", BackendUnreachable, id="a broken protocol"),
        pytest.param(45, 7, "Failed to verify peer's certificate", CredentialsInvalid, id="the server's certificate"),
        pytest.param(SYSTEM, RPC, "Unable to import client certificate x", CredentialsInvalid, id="no certificate"),
        pytest.param(
            SSH, 50, "Can't verify the session host key", CredentialsInvalid, id="an SSH host that is not ours"
        ),
        pytest.param(
            45, 50, "authentication with private key failed", CredentialsInvalid, id="an SSH key not accepted"
        ),
        pytest.param(SSH, 50, "Remote command terminated with 127", BackendUnreachable, id="no virt-ssh-helper there"),
        pytest.param(AGENT, QEMU, "QEMU guest agent is not connected", AgentNotReady, id="an agent that is silent"),
        pytest.param(NO_AGENT, QEMU, "QEMU guest agent is not configured", GuestAgentMissing, id="no agent channel"),
        pytest.param(
            INTERNAL, QEMU, f"{UNABLE}Command guest-exec has been disabled", GuestAgentMissing, id="a refused command"
        ),
        pytest.param(
            INTERNAL,
            QEMU,
            f"{UNABLE}Command guest-exec has been disabled: the agent is in frozen state",
            AgentNotReady,
            id="a frozen guest only has to be thawed",
        ),
        pytest.param(libvirt.VIR_ERR_OPERATION_TIMEOUT, QEMU, "cannot acquire lock", RetryLater, id="a busy domain"),
        pytest.param(55, QEMU, "domain is not running", RetryLater, id="a VM that was switched off meanwhile"),
        pytest.param(SYSTEM, 18, "cannot fill file: No space left on device", InsufficientSpace, id="a full disk"),
        pytest.param(libvirt.VIR_ERR_XML_ERROR, QEMU, "bad XML", CloneFailed, id="what was refused stays refused"),
        pytest.param(SYSTEM, QEMU, "cannot open file", CloneFailed, id="a file error is no lost connection"),
    ],
)
def test_every_failure_is_one_of_ours(code: int, domain: int, text: str, expected: type[CloneError]) -> None:
    found = translate.translated(_error(code, domain, text))
    assert (type(found), str(found)) == (expected, text)


def test_only_a_lost_connection_is_opened_again() -> None:
    assert translate.is_connection_loss(_error(SYSTEM, RPC, "Connection refused"))
    assert not translate.is_connection_loss(_error(AGENT, QEMU, "QEMU guest agent is not connected"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("one\ntwo\t three", "one two three", id="it is one line"),
        pytest.param("a\x1b[31mb", "a\\x1b[31mb", id="terminal sequences are spelt out"),
        pytest.param("x" * 5000, "x" * 1024, id="it is at most 1 KiB"),
        pytest.param("ä" * 600, "ä" * 512, id="it is cut between characters"),
    ],
)
def test_foreign_text_is_tamed(text: str, expected: str) -> None:
    assert translate.plain(text) == expected


def test_an_absent_object_is_none_and_any_other_error_stays() -> None:
    def fail() -> str:
        raise _error(libvirt.VIR_ERR_NO_DOMAIN, QEMU, "Domain not found")

    assert translate.found(fail, libvirt.VIR_ERR_NO_DOMAIN) is None
    with pytest.raises(libvirt.libvirtError):
        translate.found(fail, libvirt.VIR_ERR_NO_STORAGE_VOL)
