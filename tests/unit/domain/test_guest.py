"""What is sent to a guest, and what of its answers is believed."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from vmclone_operator.domain import guest
from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.errors import AgentNotReady, CapabilityMissing
from vmclone_operator.domain.guest import (
    GuestProbe,
    IdentityState,
    KnownIdentity,
    identity_command,
    identity_problems,
    identity_reason,
    parse_probe,
)


def ed25519(number: int) -> str:
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + bytes([number]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


OLD_KEY, NEW_KEY, OTHER_KEY = ed25519(1), ed25519(2), ed25519(3)
OLD_ID, NEW_ID = "a" * 32, "0123456789abcdef" * 2
SINGLE = {
    "system": "running",
    "cloud_init": "done",
    "hostname": "dev-1-abc123",
    "machine_id": NEW_ID,
    "identity_token": "t-1",
    "identity_state": "done",
    "previous_machine_id": OLD_ID,
    "journal_machine_id": NEW_ID,
    "ssh_server": "yes",
    "made_ssh_host_key": NEW_KEY,
    "ssh_host_key": NEW_KEY,
    "previous_ssh_host_key": OLD_KEY,
}


def answer(changes: Mapping[str, str] | None = None, extra: Sequence[str] = ()) -> str:
    values = {**SINGLE, **(changes or {})}
    lines = [f"{key}={value}" for key, value in values.items()]
    return "\n".join(["vmclone-probe=1", *lines, *extra, "end=1", ""])


PROVEN = parse_probe(answer())


def test_a_whole_answer_is_read_and_no_machine_id_leaves_as_it_is() -> None:
    assert PROVEN.booted
    assert PROVEN.state_of("t-1") is IdentityState.DONE
    assert PROVEN.ssh_host_keys == (NEW_KEY,)
    assert PROVEN.previous_ssh_host_keys == (OLD_KEY,)
    assert PROVEN.machine_id_hash == PROVEN.journal_machine_id_hash
    assert len({PROVEN.machine_id_hash, PROVEN.previous_machine_id_hash}) == 2
    assert NEW_ID not in repr(PROVEN)
    assert OLD_ID not in repr(PROVEN)


def test_whose_home_was_copied_is_told_by_a_plain_word() -> None:
    assert parse_probe(answer({"home_copied": "1-2"})).home_copied == "1-2"
    assert (PROVEN.home_copied, parse_probe(answer({"home_copied": "a b"})).home_copied) == ("", "")


def test_the_probe_reads_whose_home_was_copied_where_the_copy_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "result").write_text("identity_state=done\n", encoding="ascii")
    script = guest.PROBE.script.replace("/var/lib/vmclone", str(tmp_path)).replace("/usr/sbin/sshd", "/none")
    for told, expected in (("", ""), ("1-2\n", "1-2")):
        (tmp_path / "home-copied").write_text(told, encoding="ascii")
        done = subprocess.run(["sh", "-c", script], text=True, capture_output=True, check=True)
        assert parse_probe(done.stdout.replace("system=unsupported", "system=running")).home_copied == expected


def test_the_hash_is_the_sha256_that_the_source_is_compared_with() -> None:
    zeros = parse_probe(answer({"machine_id": "0" * 32})).machine_id_hash
    assert zeros == "84e0c0eafaa95a34c293f278ac52e45ce537bab5e752a00e6959a13ae103b65a"


@pytest.mark.parametrize(
    ("changes", "booted"),
    [
        pytest.param({"system": "running"}, True, id="running"),
        pytest.param({"system": "degraded"}, True, id="degraded is booted: a failed unit of the source's is not ours"),
        pytest.param({"system": "starting"}, False, id="start jobs are left"),
        pytest.param({"system": "maintenance"}, False, id="rescue shell"),
        pytest.param({"system": "unknown"}, False, id="systemd does not answer yet"),
        pytest.param({"system": "running\x1b[2J"}, False, id="terminal codes"),
        pytest.param({"cloud_init": "running"}, False, id="cloud-init still runs"),
    ],
)
def test_booted_means_no_start_job_left_and_cloud_init_finished(changes: Mapping[str, str], booted: bool) -> None:
    assert parse_probe(answer(changes)).booted is booted


def test_a_boot_that_waits_for_a_network_names_the_units() -> None:
    waits = ("network_wait=systemd-networkd-wait-online.service", "network_wait=x;y\x07")
    probe = parse_probe(answer({"system": "starting"}, waits))
    assert probe.waiting_for_network
    assert probe.network_waits == ("systemd-networkd-wait-online.service",)


@pytest.mark.parametrize(
    "stdout",
    [
        pytest.param("", id="nothing"),
        pytest.param("vmclone-probe=1\nsystem=running\n", id="cut off"),
        pytest.param("system=running\nend=1\n", id="another program's words"),
        pytest.param("\x00\ufffd\u2028", id="noise"),
        pytest.param("vmclone-probe=1\n" + "x" * 70_000 + "\nend=1\n", id="more than 64 KiB"),
    ],
)
def test_an_answer_that_is_not_whole_is_asked_for_again(stdout: str) -> None:
    with pytest.raises(AgentNotReady, match="not whole"):
        parse_probe(stdout)


def test_a_guest_without_systemd_needs_a_person() -> None:
    with pytest.raises(CapabilityMissing, match="systemd"):
        parse_probe("vmclone-probe=1\nsystem=unsupported\nend=1\n")


@pytest.mark.parametrize(
    ("key", "value", "attribute"),
    [
        pytest.param("machine_id", "uninitialized", "machine_id_hash", id="machine-id of a first boot"),
        pytest.param("machine_id", "A" * 32, "machine_id_hash", id="machine-id in capitals"),
        pytest.param("machine_id", f"{NEW_ID}\nmachine_id={OLD_ID}", "machine_id_hash", id="two machine-ids"),
        pytest.param("hostname", "a" * 65, "hostname", id="hostname too long"),
        pytest.param("hostname", "x'; DROP", "hostname", id="hostname with quotes"),
        pytest.param("identity_token", "../../x", "identity_token", id="token with slashes"),
        pytest.param("made_ssh_host_key", "ssh-ed25519 AAAA", "made_ssh_host_key", id="key cut off"),
        pytest.param("made_ssh_host_key", NEW_KEY.replace("ed25519", "rsa", 1), "made_ssh_host_key", id="type lies"),
        pytest.param("made_ssh_host_key", f"{NEW_KEY} x\x1b", "made_ssh_host_key", id="key with a tail"),
    ],
)
def test_a_value_of_the_wrong_shape_counts_as_not_known(key: str, value: str, attribute: str) -> None:
    assert getattr(parse_probe(answer({key: value})), attribute) == ""


def test_a_guest_cannot_make_lists_or_errors_without_end() -> None:
    many = [f"ssh_host_key={ed25519(number)}" for number in range(50)]
    probe = parse_probe(answer({"identity_error": "e\x1b[31m" * 2000}, many))
    assert len(probe.ssh_host_keys) <= 8
    assert len(probe.identity_error) == 256
    assert "\x1b" not in probe.identity_error


def test_another_tokens_result_says_nothing() -> None:
    assert PROVEN.state_of("t-2") is IdentityState.NONE


def test_a_proven_identity_has_no_problems() -> None:
    siblings = [KnownIdentity(name="dev-2", hostname="dev-2-x", machine_id_hash="ff", ssh_host_keys=(OTHER_KEY,))]
    assert identity_problems(PROVEN, token="t-1", hostname="dev-1-abc123", siblings=siblings) == ()
    assert identity_reason(PROVEN, token="t-1", hostname="dev-1-abc123", siblings=siblings) == ""


@pytest.mark.parametrize(
    ("probe", "reason", "words"),
    [
        pytest.param(replace(PROVEN, identity_token="t-0"), "IdentityNotReset", "did not finish", id="other attempt"),
        pytest.param(
            replace(PROVEN, identity_state=IdentityState.FAILED, identity_error="no user dev"),
            "IdentityNotReset",
            "no user dev",
            id="it failed and says why",
        ),
        pytest.param(
            replace(PROVEN, previous_machine_id_hash=PROVEN.machine_id_hash),
            "DuplicateMachineID",
            "still the source's",
            id="machine-id unchanged",
        ),
        pytest.param(replace(PROVEN, machine_id_hash=""), "MachineIDMissing", "no valid", id="no machine-id"),
        pytest.param(replace(PROVEN, journal_machine_id_hash=""), "StaleMachineID", "journald", id="silent journal"),
        pytest.param(replace(PROVEN, ssh_host_keys=()), "HostKeyMissing", "presents no", id="sshd does not answer"),
        pytest.param(
            replace(PROVEN, ssh_host_keys=(OLD_KEY,)), "DuplicateHostKey", "of the source", id="sshd not restarted"
        ),
        pytest.param(
            replace(PROVEN, ssh_host_keys=(OTHER_KEY,)), "HostKeyMismatch", "another", id="a key that we did not make"
        ),
        pytest.param(replace(PROVEN, hostname="golden"), "HostnameMismatch", "golden", id="the source's hostname"),
    ],
)
def test_each_value_that_is_not_the_clones_own_is_named(probe: GuestProbe, reason: str, words: str) -> None:
    problems = identity_problems(probe, token="t-1", hostname="dev-1-abc123", siblings=())
    assert len(problems) == 1
    assert words in problems[0]
    assert identity_reason(probe, token="t-1", hostname="dev-1-abc123", siblings=()) == reason


def test_every_value_shared_with_a_sibling_is_named() -> None:
    twin = KnownIdentity(
        name="dev-2",
        hostname="dev-1-abc123",
        machine_id_hash=PROVEN.machine_id_hash,
        ssh_host_keys=(NEW_KEY,),
    )
    problems = identity_problems(PROVEN, token="t-1", hostname="dev-1-abc123", siblings=[twin])
    assert len(problems) == 3
    assert all("dev-2" in problem for problem in problems)


def test_unknown_values_of_a_sibling_are_equal_to_nothing() -> None:
    problems = identity_problems(PROVEN, token="t-1", hostname="dev-1-abc123", siblings=[KnownIdentity(name="dev-2")])
    assert problems == ()


def test_a_guest_without_sshd_needs_no_host_key() -> None:
    probe = replace(PROVEN, ssh_server=False, ssh_host_keys=(), made_ssh_host_key="")
    assert identity_problems(probe, token="t-1", hostname="dev-1-abc123", siblings=()) == ()


def test_parameters_travel_on_standard_input_and_never_in_the_script() -> None:
    first = identity_command(token="t-1", hostname="dev-1", user="dev", authorized_keys=[f"{NEW_KEY} me@home"])
    second = identity_command(token="t-2", hostname="dev-2", user="ops", authorized_keys=[])
    assert first.script == second.script
    assert first.stdin == f"token=t-1\nhostname=dev-1\nuser=dev\nkey={NEW_KEY} me@home\nend=1\n"
    assert second.stdin == "token=t-2\nhostname=dev-2\nend=1\n"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("token", "", id="no token"),
        pytest.param("token", "t\nend=1", id="token with a new line"),
        pytest.param("hostname", "-dev", id="hostname begins with a hyphen"),
        pytest.param("hostname", "a" * 64, id="hostname too long"),
        pytest.param("hostname", "dev\n", id="hostname ends in a new line"),
        pytest.param("user", "../root", id="user with slashes"),
        pytest.param("key", f"{NEW_KEY}\nkey={OLD_KEY}", id="two keys in one"),
        pytest.param("key", f'command="x" {NEW_KEY}', id="options before the key"),
        pytest.param("key", "", id="empty key"),
    ],
)
def test_a_value_that_could_not_travel_safely_is_refused(field: str, value: str) -> None:
    values = {"token": "t-1", "hostname": "dev-1", "user": "dev", "key": NEW_KEY, field: value}
    with pytest.raises(ValueError, match=r"guest|authorized key"):
        identity_command(
            token=values["token"], hostname=values["hostname"], user=values["user"], authorized_keys=[values["key"]]
        )


def test_of_a_keys_comment_only_harmless_characters_travel() -> None:
    command = identity_command(token="t", hostname="h", user="u", authorized_keys=[f"{NEW_KEY} a\x00\x1b\u2028\x85b"])
    assert f"key={NEW_KEY} ab\n" in command.stdin


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    "command",
    [guest.PROBE, guest.RELEASE_NETWORK_WAIT, identity_command(token="t", hostname="h", user="u", authorized_keys=())],
    ids=lambda command: command.name,
)
def test_scripts_are_valid_for_every_shell_that_sh_may_be(command: GuestCommand, shell: str) -> None:
    assert shutil.which(shell), f"{shell} is part of every Debian"
    checked = subprocess.run([shell, "-n"], input=command.script, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_an_incomplete_transfer_of_the_parameters_changes_nothing(tmp_path: Path) -> None:
    command = identity_command(token="t", hostname="h", user="u", authorized_keys=())
    cut = command.stdin.removesuffix("end=1\n")
    script = command.script.replace("/run/vmclone", f"{tmp_path}/run").replace("/var/lib/vmclone", f"{tmp_path}/lib")
    done = subprocess.run(["sh", "-c", script], input=cut, text=True, capture_output=True, check=False)
    assert done.returncode == 64
    assert "complete" in done.stderr
    assert list(tmp_path.iterdir()) == []
