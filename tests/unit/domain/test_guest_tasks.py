"""Commands as tasks: their names, what they tell, and that the answer fits what a remote guest's channel keeps."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vmclone_operator.domain.backend import GuestCommand, GuestResult, GuestRun, GuestRunState
from vmclone_operator.domain.guest import IdentityState, identity_command, parse_probe
from vmclone_operator.domain.guest_tasks import composed, identity_at_once, task_of, view

TAIL_BYTES = 4096
COMMAND = GuestCommand(name="copy-access", script="true\n", stdin="user=dev\n")
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAFHaLIxytMhwQwPVzsKFiRYGUk26DINxYqY3vW2MKTI"
DONE = "vmclone-probe=1\nsystem=running\ncloud_init=done\nidentity_token=t\nidentity_state=done\nend=1\n"


def test_a_run_is_named_by_all_that_it_says_and_by_the_attempt() -> None:
    others = [
        task_of(COMMAND, "2"),
        task_of(GuestCommand(name="other", script=COMMAND.script, stdin=COMMAND.stdin), "1"),
        task_of(GuestCommand(name=COMMAND.name, script="false\n", stdin=COMMAND.stdin), "1"),
        task_of(GuestCommand(name=COMMAND.name, script=COMMAND.script, stdin=""), "1"),
    ]
    mine = task_of(COMMAND, "1")
    assert mine == task_of(COMMAND, "1")
    assert len({mine.run, *(other.run for other in others)}) == 5


VIEWS = {
    "one that was never started": (GuestRun(state=GuestRunState.ABSENT), False, ""),
    "one that runs": (GuestRun(state=GuestRunState.RUNNING), False, ""),
    "one that nobody knows the end of": (GuestRun(state=GuestRunState.ENDED), False, "nobody says"),
    "one with a whole answer": (
        GuestRun(state=GuestRunState.ENDED, result=GuestResult(exit_code=0, stdout=DONE)),
        True,
        "",
    ),
    "one whose answer was cut off": (
        GuestRun(state=GuestRunState.ENDED, result=GuestResult(exit_code=0, stdout=DONE[3:])),
        False,
        "without a whole answer",
    ),
    "one that could not begin the reset": (
        GuestRun(state=GuestRunState.ENDED, result=GuestResult(exit_code=64, stdout="", stderr="no gzip\n")),
        False,
        "64: no gzip",
    ),
}


@pytest.mark.parametrize(("run", "answers", "error"), VIEWS.values(), ids=VIEWS.keys())
def test_what_a_run_tells(run: GuestRun, answers: bool, error: str) -> None:
    seen = view(run, age_seconds=0)
    assert seen.state is run.state
    assert (seen.probe is not None) == answers
    assert error in seen.error
    assert bool(seen.error) == bool(error)


@pytest.mark.parametrize(
    ("age", "state"), [(1199, GuestRunState.RUNNING), (1200, GuestRunState.ENDED)], ids=["in time", "too long"]
)
def test_a_task_that_nothing_is_heard_of_is_lost(age: float, state: GuestRunState) -> None:
    """Azure says for ever that it runs, when its VM went down with it."""
    seen = view(GuestRun(state=GuestRunState.RUNNING), age_seconds=age)
    assert (seen.state, bool(seen.error)) == (state, state is GuestRunState.ENDED)


@pytest.mark.parametrize(("age", "old"), [(599, False), (600, True)])
def test_what_a_task_found_is_believed_for_ten_minutes(age: float, old: bool) -> None:
    assert view(GuestRun(state=GuestRunState.ENDED), age_seconds=age).old is old


def ran(tmp_path: Path, *, probe: str, launch: str = "cat >params", release: str = ": >released") -> tuple[int, str]:
    """Run the script with stand-ins for its three parts, which may end with `exit` as the real ones do."""
    script = composed(release=f"{release}\nexit 0", launch=launch, probe=probe)
    environment = {
        "PATH": "/usr/bin:/bin",
        "VMCLONE_CGROUPS": str(tmp_path),
        "VMCLONE_BOOT_SECONDS": "0",
        "VMCLONE_RESET_SECONDS": "0",
    }
    done = subprocess.run(
        ["sh", "-c", script],
        input="token=t\nend=1\n",
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    return done.returncode, done.stdout


def told(*lines: str) -> str:
    """Return a probe that says so."""
    return "\n".join(["cat <<'SAID'", "vmclone-probe=1", *lines, "end=1", "SAID", "exit 0"])


BOOTED = ("system=running", "cloud_init=done")


def test_a_booted_guest_is_reset_with_the_parameters_of_the_task(tmp_path: Path) -> None:
    code, said = ran(tmp_path, probe=told(*BOOTED, "identity_token=t", "identity_state=done"))
    assert code == 0
    assert parse_probe(said).state_of("t") is IdentityState.DONE
    assert (tmp_path / "params").read_text() == "token=t\nend=1\n"
    assert not (tmp_path / "released").exists()


def test_a_boot_that_does_not_end_is_told_and_nothing_is_reset(tmp_path: Path) -> None:
    code, said = ran(tmp_path, probe=told("system=starting", "cloud_init=done", "network_wait=a-wait-online.service"))
    assert (code, parse_probe(said).booted) == (0, False)
    assert (tmp_path / "released").exists(), "a quarantined boot waits for a network that it can not have"
    assert not (tmp_path / "params").exists()


def test_a_launch_that_is_refused_ends_the_task_with_its_code(tmp_path: Path) -> None:
    assert ran(tmp_path, probe=told(*BOOTED), launch="echo refused >&2; exit 64") == (64, "")


def test_the_longest_answer_fits_and_tells_what_a_judgement_needs(tmp_path: Path) -> None:
    """Old keys of other kinds than the one that sshd is asked for decide nothing; what is many is read up to eight."""
    places = [f"scrub_left_alone=/{letter * 190}" for letter in "abcdefghijkl"]
    lines = [
        *BOOTED,
        f"hostname={'h' * 63}",
        f"machine_id={'a' * 32}",
        f"identity_token={'t' * 36}",
        "identity_state=done",
        f"previous_machine_id={'b' * 32}",
        f"previous_ssh_host_key=ssh-rsa {'A' * 716}",
        f"previous_ssh_host_key={ED25519}",
        f"made_ssh_host_key={ED25519}",
        "ssh_server=yes",
        f"ssh_host_key={ED25519}",
        f"journal_machine_id={'a' * 32}",
        f"scrub_error={'e' * 5000}",
        *places,
        *[f"scrub_unverified=kind{number}" for number in range(20)],
        f"home_copied={'t' * 36}",
    ]
    _, said = ran(tmp_path, probe=told(*lines))
    assert len(said.encode()) <= TAIL_BYTES
    probe = parse_probe(said)
    assert (probe.previous_ssh_host_keys, probe.ssh_host_keys) == ((ED25519,), (ED25519,))
    assert len(probe.scrub.left_alone) == len(probe.scrub.unverified) == 8
    assert probe.state_of("t" * 36) is IdentityState.DONE
    assert len(probe.scrub.error) == 256


def test_the_identity_task_is_one_script_that_a_shell_can_read() -> None:
    identity = identity_command(token="t", hostname="dev-1", user="", authorized_keys=())
    task = identity_at_once(identity, "1")
    assert task.stdin == identity.stdin
    subprocess.run(["sh", "-n"], input=task.script, text=True, check=True)
    assert len(task.script.encode()) < 128 * 1024, "the longest single argument of a program on Linux"
