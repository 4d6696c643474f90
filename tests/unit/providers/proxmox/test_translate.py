"""Every text that a clone client meets, and what it means to us."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vmclone_operator.domain.errors import (
    ActionNeeded,
    AgentNotReady,
    BackendUnreachable,
    CloneFailed,
    CredentialsInvalid,
    FrozenPointInUse,
    GuestAgentMissing,
    InsufficientSpace,
    NotAuthorized,
    RetryLater,
    SourceLocked,
    SourceNotFound,
    TargetConflict,
)
from vmclone_operator.providers.proxmox import translate
from vmclone_operator.providers.proxmox.translate import Kind, Refused

RECORDINGS = Path(__file__).parents[3] / "doubles" / "pve" / "recordings"

ANSWERS = [
    (401, "No ticket", CredentialsInvalid),
    (401, "Authentication failed!", CredentialsInvalid),
    (403, "Permission check failed (/vms/130, VM.Clone)", NotAuthorized),
    (403, "Permission check failed (pool 'nopool' does not exist)", NotAuthorized),
    (500, "unable to create VM 101: config file already exists", TargetConflict),
    (500, "unable to find configuration file for VM 999 on node 'pve1'", SourceNotFound),
    (500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist", SourceNotFound),
    (500, "hostname lookup 'pve9' failed - failed to get address info", BackendUnreachable),
    (595, "No route to host", BackendUnreachable),
    (596, "Broken pipe", BackendUnreachable),
    (503, "Service Unavailable", BackendUnreachable),
    (429, "Too Many Requests", BackendUnreachable),
    (500, "VM is locked (backup)", SourceLocked),
    (500, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", RetryLater),
    (500, "can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout", RetryLater),
    (500, "checksum mismatch (file change by other user?)", RetryLater),
    (500, "cluster not ready - no quorum?", RetryLater),
    (500, "storage 'off' is disabled", CloneFailed),
    (500, "Linked clone feature is not supported for 'local:100/vm-100-disk-0.qcow2' (scsi0)", CloneFailed),
    (500, "only root can set 'args' config", CloneFailed),
    (500, "can't remove VM 110 - protection mode enabled", CloneFailed),
    (500, "No QEMU guest agent configured", GuestAgentMissing),
    (500, "QEMU guest agent is not running", AgentNotReady),
    (500, "VM 100 is not running", AgentNotReady),
    (500, "something nobody has seen yet", CloneFailed),
    (404, "virtual machine does not exist", SourceNotFound),
    (409, "VMID already exists", TargetConflict),
    (409, "configuration changed concurrently", RetryLater),
    (409, "cannot delete a running virtual machine", RetryLater),
    (501, "for data too large", CloneFailed),
    (501, "Method 'GET /nosuch' not implemented", CloneFailed),
]


@pytest.mark.parametrize(("status", "text", "error"), ANSWERS, ids=[f"{row[0]} {row[1]}" for row in ANSWERS])
def test_an_answer_becomes(status: int, text: str, error: type[Exception]) -> None:
    told = translate.error(Refused("GET /x", status, text))
    assert type(told) is error
    assert text.split("'", maxsplit=1)[0].strip() in str(told)


ENDS = [
    ("unable to create VM 180: config file already exists", TargetConflict),
    ("can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", RetryLater),
    ("VM is locked (clone)", SourceLocked),
    ("base volume 'local:110/base-110-disk-1.qcow2' is still in use by linked cloned", FrozenPointInUse),
    ("clone failed: unable to create image: qemu-img: x: No space left on device", InsufficientSpace),
    ("clone failed: volume 'local:144/vm-144-disk-0.qcow2' does not exist", CloneFailed),
    ("clone failed: block job (mirror) error: interrupted by signal", CloneFailed),
    ("unexpected state change", RetryLater),
    ("unexpected status", CloneFailed),
]


@pytest.mark.parametrize(("text", "error"), ENDS, ids=[row[0] for row in ENDS])
def test_a_task_that_ended_so_becomes(text: str, error: type[Exception]) -> None:
    told = translate.task_error("the clone", text)
    assert type(told) is error
    assert text in str(told)


def test_a_wrong_parameter_is_named_in_the_message() -> None:
    fields = {"newid": "invalid format - value does not look like a valid VM ID"}
    told = translate.error(Refused("POST /x", 400, "Parameter verification failed.", fields))
    assert isinstance(told, ActionNeeded)
    assert "newid: invalid format" in str(told)


def test_words_of_the_server_are_one_short_line() -> None:
    assert translate.plain("a\n\x1b[31mb" + "c" * 1000).startswith("a [31mbccc")
    assert len(translate.plain("x" * 1000)) == 400


def recorded_refusals() -> list[tuple[int, str, dict[str, str]]]:
    """Return every refusal in the recordings once."""
    found = {}
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        for line in path.read_text().strip().split("\n"):
            row = json.loads(line)
            if row.get("status", 0) < 300:
                continue
            body = row.get("body")
            fields = body.get("errors") if isinstance(body, dict) else None
            found[row["status"], row.get("reason", ""), json.dumps(fields)] = fields or {}
    return [(status, reason, fields) for (status, reason, _), fields in found.items()]


def test_no_recorded_refusal_of_the_api_is_taken_for_a_server_that_is_away_or_for_bad_credentials() -> None:
    rows = recorded_refusals()
    assert len(rows) > 100
    for status, reason, fields in rows:
        kind = translate.kind(status, reason, fields)
        assert (kind is Kind.NOT_KNOWN) == (status == 401), reason
        assert (kind is Kind.FORBIDDEN) == (status == 403), reason
        assert kind is not Kind.DOWN or status >= 502 or "hostname lookup" in reason, reason


@pytest.mark.parametrize(
    ("line", "failed"),
    [
        ("issuing guest agent 'guest-fsfreeze-freeze' command", False),
        ("VM 100 qga command 'guest-fsfreeze-freeze' failed - got timeout", True),
        ("issuing guest agent 'guest-fsfreeze-thaw' command", False),
    ],
)
def test_a_log_says_whether_the_file_systems_were_frozen(line: str, *, failed: bool) -> None:
    assert translate.freeze_failed(line) is failed


def test_a_pool_that_is_missing_is_not_told_as_a_right_that_is() -> None:
    text = "Permission check failed (pool 'nopool' does not exist)"
    told = str(translate.error(translate.Refused("POST /x", 403, text)))
    assert "pveum pool add" in told
    assert "privilege" not in told
