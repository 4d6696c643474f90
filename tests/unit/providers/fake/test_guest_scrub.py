"""The fake's guests answer for a scrub in exactly the form of real ones."""

from __future__ import annotations

from dataclasses import replace

from vmclone_operator.domain.guest import (
    PROBE,
    GuestProbe,
    ScrubRequest,
    ScrubState,
    identity_command,
    parse_probe,
    scrub_problem,
)
from vmclone_operator.homecopy.scrub import scrub_program
from vmclone_operator.providers.fake.guest import Guest, host_key

OWN = "c" * 32
SCRUB = ScrubRequest(program=scrub_program(), disable_units=("runner.service", "agent.timer"))


def guest(**settings: object) -> Guest:
    made = Guest(machine_id="a" * 32, hostname="golden", host_key=host_key("golden"), secrets=12)
    return replace(made, **settings)  # type: ignore[arg-type]


def probe(of: Guest, now: float) -> GuestProbe:
    return parse_probe(of.execute(PROBE, now=now, machine_id=OWN, connected=False, settled=True).stdout)


def start(in_guest: Guest, scrub: ScrubRequest | None = SCRUB, *, needs_reboot: bool = False) -> None:
    command = identity_command(
        token="t", hostname="dev-1", user="dev", authorized_keys=[], scrub=scrub, needs_reboot=needs_reboot
    )
    assert in_guest.execute(command, now=0, machine_id=OWN, connected=False, settled=True).exit_code == 0


def test_a_scrub_runs_and_then_is_proven() -> None:
    one = guest(reset_seconds=5)
    start(one)
    assert probe(one, 1).scrub.state is ScrubState.RUNNING
    report = probe(one, 6).scrub
    assert scrub_problem(report, SCRUB) is None
    assert (report.files, report.units, one.secrets) == (12, 2, 0)
    assert one.masked == {"runner.service", "agent.timer"}


def test_without_a_scrub_the_secrets_stay_and_nothing_is_said() -> None:
    one = guest()
    start(one, None)
    assert (probe(one, 1).scrub.state, one.secrets) == (ScrubState.NONE, 12)


def test_another_request_with_the_same_token_scrubs_again() -> None:
    one = guest()
    start(one)
    start(one)
    assert one.resets == 1
    wider = replace(SCRUB, paths=("/srv/app",))
    start(one, wider)
    assert one.resets == 2
    assert scrub_problem(probe(one, 1).scrub, wider) is None


def test_a_copy_on_write_guest_is_unverified_and_a_failed_one_says_why() -> None:
    one, other = guest(file_system="btrfs"), guest(reset_failures=["no space"])
    for each in (one, other):
        start(each)
    assert probe(one, 1).scrub.unverified == ("btrfs",)
    assert (probe(other, 1).scrub.state, probe(other, 1).scrub.error) == (ScrubState.FAILED, "no space")


def test_a_guest_that_must_be_rebooted_says_so_until_it_was() -> None:
    declares, told = guest(declares_reboot=True), guest()
    start(declares)
    start(told, needs_reboot=True)
    for each in (declares, told):
        assert probe(each, 1).needs_reboot
        each.power_off(2, OWN)
        assert not probe(each, 3).needs_reboot
