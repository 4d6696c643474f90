"""The guest of the recordings, as far as its commands were recorded (03-power-agent, 82-126)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.doubles.pve.guests import Machine, MissingBinary, Run

_SHELL = {
    "echo out; echo err >&2; exit 3": (0.0, 3, b"out\n", b"err\n"),
    "sleep 2; echo late": (2.2, 0, b"late\n", b""),
    "yes 0123456789abcdef | head -c 200000": (0.3, 0, (b"0123456789abcdef\n" * 11765)[:200000], b""),
    r'printf "\303\274\377\000x"': (0.0, 0, b"\xc3\xbc\xff\x00x", b""),
    "mkdir -p /tmp; dd if=/dev/zero of=/tmp/big bs=1M count=20": (
        0.5,
        0,
        b"",
        b"20+0 records in\n20+0 records out\n",
    ),
}


def program(machine: Machine, command: Sequence[str], stdin: bytes) -> Run:
    """Do what the recorded guest did."""
    now = machine.now()
    if command[0] == "/bin/date":
        return Run(done_at=now + 0.5, out=b"Mon Nov 30 08:13:13 UTC 2026\n")
    if command[0] == "/bin/echo":
        return Run(done_at=now, out=" ".join(command[1:]).encode() + b"\n")
    if command[0] == "/bin/cat":
        return Run(done_at=now, out=stdin)
    if command[0] == "/bin/sh" and command[2].startswith("kill -9"):
        return Run(done_at=now, signal=9)
    if command[0] != "/bin/sh":
        raise MissingBinary(command[0])
    if "of=/tmp/big" in command[2]:
        machine.disk.files["/tmp/big"] = bytes(20 * 1024**2)  # noqa: S108 - a file of the guest
    seconds, code, out, err = _SHELL[command[2]]
    return Run(done_at=now + seconds, exit_code=code, out=out, err=err)
