"""What a guest is told to scrub is checked before it travels, and what it answers before it is believed."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from dataclasses import replace

import pytest

from vmclone_operator.domain.guest import (
    IdentityState,
    ScrubProgram,
    ScrubReport,
    ScrubRequest,
    ScrubState,
    identity_command,
    parse_probe,
    scrub_problem,
)

PROGRAM = ScrubProgram(
    scope="1.1", program="print(1)\n", rules="{}", posix_rules="name=*.key\n", stop_units=("runner.*.service",)
)
REQUEST = ScrubRequest(program=PROGRAM, paths=("/srv/app/*.env",), disable_units=("runner.service",))
DONE = {
    "scrub_state": "done",
    "scrub_scope": "1.1",
    "scrub_request": REQUEST.digest,
    "scrub_files": "217",
    "scrub_units": "1",
    "scrub_left": "0",
    "scrub_engine": "python",
    "scrub_discarded": "yes",
}


def report(changes: Mapping[str, str] | None = None, *more: str) -> ScrubReport:
    lines = [f"{key}={value}" for key, value in {**DONE, **(changes or {})}.items()]
    return parse_probe("\n".join(["vmclone-probe=1", "system=running", *lines, *more, "end=1", ""])).scrub


def command_with(scrub: ScrubRequest | None) -> str:
    return identity_command(token="t", hostname="h", user="u", authorized_keys=(), scrub=scrub).stdin


def test_without_a_scrub_nothing_more_travels() -> None:
    assert command_with(None) == "token=t\nhostname=h\nend=1\n"


def test_a_scrub_travels_on_standard_input_and_ends_before_the_end() -> None:
    lines = command_with(REQUEST).splitlines()
    assert lines[-1] == "end=1"
    assert {f"scrub={REQUEST.digest}", "scrub_scope=1.1", "scrub_path=/srv/app/*.env"} <= set(lines)
    assert {"scrub_mask=runner.service", "scrub_stop=runner.*.service"} <= set(lines)
    packed = next(line.partition("=")[2] for line in lines if line.startswith("scrub_posix="))
    assert gzip.decompress(base64.b64decode(packed)) == b"name=*.key\n"


def test_every_change_of_a_request_is_another_request() -> None:
    others = [
        replace(REQUEST, paths=()),
        replace(REQUEST, disable_units=()),
        replace(REQUEST, allow=(".kube/config",)),
        replace(REQUEST, program=replace(PROGRAM, scope="2.1")),
    ]
    assert len({other.digest for other in (REQUEST, *others)}) == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("paths", "srv/app", id="path that is not absolute"),
        pytest.param("paths", "/", id="everything"),
        pytest.param("paths", "/*/x", id="first folder is a pattern"),
        pytest.param("paths", "/etc", id="a folder of the system"),
        pytest.param("paths", "/etc/*", id="all of a folder of the system"),
        pytest.param("paths", "/usr/**", id="all below a folder of the system"),
        pytest.param("paths", "/srv/../etc/x", id="path that climbs"),
        pytest.param("paths", "/srv/app/", id="slash at the end"),
        pytest.param("paths", "/srv/a\nscrub_mask=x", id="path of two lines"),
        pytest.param("paths", "/srv/" + "a" * 1024, id="path too long"),
        pytest.param("disable_units", "runner", id="unit without its kind"),
        pytest.param("disable_units", "*.service", id="unit that is a pattern"),
        pytest.param("disable_units", "a b.service", id="unit with a blank"),
        pytest.param("disable_units", "../x.service", id="unit with a slash"),
        pytest.param("allow", "", id="empty exception"),
        pytest.param("allow", "a\rb", id="exception with a control character"),
    ],
)
def test_an_addition_that_could_not_travel_safely_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"write|guest|unit|name|would take"):
        command_with(ScrubRequest(program=PROGRAM, **{field: (value,)}))


@pytest.mark.parametrize("path", ["/srv/app", "/opt/*", "/etc/app/*.env", "/var/lib/app/**/tokens", "/srv/a b/x"])
def test_additions_that_name_something_are_taken(path: str) -> None:
    assert f"scrub_path={path}\n" in command_with(ScrubRequest(program=PROGRAM, paths=(path,)))


def test_a_done_scrub_is_read_whole_and_proven() -> None:
    read = report()
    assert (read.state, read.files, read.units, read.left, read.engine) == (ScrubState.DONE, 217, 1, 0, "python")
    assert read.discarded
    assert scrub_problem(read, REQUEST) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"scrub_state": "running"}, "did not finish", id="still running"),
        pytest.param({"scrub_state": "failed", "scrub_error": "no space"}, "no space", id="it failed and says why"),
        pytest.param({"scrub_request": "another"}, "did not finish", id="the answer to another request"),
        pytest.param({"scrub_scope": "0.9"}, "did not finish", id="an older scope"),
        pytest.param({"scrub_left": "3"}, "left 3 files", id="a second look found something"),
        pytest.param({"scrub_unverified": "btrfs"}, "btrfs", id="copy-on-write file system"),
        pytest.param({"scrub_state": "whatever"}, "did not finish", id="a state that does not exist"),
    ],
)
def test_what_is_not_proven_has_a_reason_and_a_sentence(changes: Mapping[str, str], words: str) -> None:
    problem = scrub_problem(report(changes), REQUEST)
    assert problem is not None
    assert problem[0] == "ScrubUnverified"
    assert words in problem[1]


def test_a_guest_cannot_lie_in_other_shapes() -> None:
    read = report({"scrub_files": "1e9", "scrub_engine": "x\x1b[2J", "scrub_unverified": "a b", "scrub_units": "-1"})
    assert (read.files, read.engine, read.unverified, read.units) == (0, "", (), 0)
    assert len(report({"scrub_error": "e" * 9000}).error) == 256
    assert len(report(None, *(f"scrub_unverified=fs{number}" for number in range(99))).unverified) <= 8


def test_a_guest_that_says_nothing_of_a_scrub_has_none() -> None:
    probe = parse_probe("vmclone-probe=1\nsystem=running\nidentity_token=t\nidentity_state=done\nend=1\n")
    assert probe.state_of("t") is IdentityState.DONE
    assert probe.scrub == ScrubReport()
    assert not probe.needs_reboot
