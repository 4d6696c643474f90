"""Settings are read once, and a flag beats the environment beats the default."""

from __future__ import annotations

import pytest

from vmclone_operator.settings import read_settings


def test_without_anything_the_defaults_are_safe() -> None:
    settings = read_settings([], {})
    assert (settings.namespace, settings.instance, settings.workers) == ("vmclone-system", "", 16)
    assert (settings.resync_seconds, settings.relist_seconds, settings.log_level) == (300.0, 600.0, "INFO")
    assert not settings.allow_fake
    assert settings.identity


SOURCES = {
    "the environment beats the default": ([], {"VMCLONE_WORKERS": "4"}, 4),
    "a flag beats the environment": (["--workers", "2"], {"VMCLONE_WORKERS": "4"}, 2),
    "a variable of somebody else counts for nothing": ([], {"WORKERS": "4"}, 16),
}


@pytest.mark.parametrize(("arguments", "environment", "workers"), SOURCES.values(), ids=SOURCES.keys())
def test_where_a_setting_comes_from(arguments: list[str], environment: dict[str, str], workers: int) -> None:
    assert read_settings(arguments, environment).workers == workers


def test_dashes_are_underscores_in_the_environment() -> None:
    settings = read_settings([], {"VMCLONE_RESYNC_SECONDS": "15", "VMCLONE_LOG_LEVEL": "DEBUG"})
    assert (settings.resync_seconds, settings.log_level) == (15, "DEBUG")


def test_the_fake_backend_is_allowed_by_its_flag_alone() -> None:
    assert not read_settings([], {"VMCLONE_ALLOW_FAKE": "true"}).allow_fake
    assert read_settings(["--allow-fake"], {}).allow_fake


def test_an_unknown_flag_ends_the_start() -> None:
    with pytest.raises(SystemExit):
        read_settings(["--wrokers", "2"], {})


LEASES = {
    "a deadline after the Lease has run out": ["--lease-deadline-seconds", "30"],
    "one lost answer would end it": ["--lease-retry-seconds", "10"],
    "longer than the probes wait": ["--lease-seconds", "90"],
}


@pytest.mark.parametrize("arguments", LEASES.values(), ids=LEASES.keys())
def test_times_of_the_lease_that_do_not_hold_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_settings(arguments, {})
    assert "does not hold: write --lease-seconds of at most 60" in capsys.readouterr().err


def test_the_times_of_the_lease_can_be_those_of_a_slow_api_server() -> None:
    given = ["--lease-seconds", "60", "--lease-deadline-seconds", "40", "--lease-retry-seconds", "10"]
    lease = read_settings(given, {}).lease
    assert (lease.duration, lease.deadline, lease.retry) == (60, 40, 10)
