"""What a guest is told where commands are not answered at once: the same scripts, put together into few tasks.

Azure runs one task at a time in a VM, 20 seconds each at the least, and keeps the last 4 KiB of what it said. So the
life that `domain.guest` spreads over many commands is one task there: wait for the boot, reset and scrub, wait for
the end, read back. Its answer is a probe's, and is judged like one.

    task = identity_at_once(guest.identity_command(token=..., hostname=...), attempt="00000007")
    task.run                      # in the ledger before it starts: another attempt, or another content, is another run
    parse_probe(result.stdout)    # once it ended
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from vmclone_operator.domain.backend import GuestCommand, GuestRun, GuestRunState, GuestTask
from vmclone_operator.domain.errors import AgentNotReady
from vmclone_operator.domain.guest import PROBE, RELEASE_NETWORK_WAIT
from vmclone_operator.domain.guest_answers import GuestProbe, parse_probe
from vmclone_operator.domain.scripts import script

IDENTITY = "identity-at-once"
LIMIT_SECONDS = 900
"""The script waits 240 s for the boot and 600 s for the reset; what goes on in the guest longer, the next run tells."""
LOOK_SECONDS = 20.0
"""How often a task that runs is looked at: none ends sooner."""
LOST_SECONDS = LIMIT_SECONDS + 300.0
"""After this long nothing is heard of a task any more: its VM went down with it, or its agent never took it."""
OLD_SECONDS = 600.0
"""How long what a task found wrong is believed: then somebody may have mended it, and the guest is asked again."""
_DIGITS = 32


def task_of(command: GuestCommand, attempt: str) -> GuestTask:
    """Return a command as a task; its run is named by all that it says, and by the attempt."""
    text = f"{attempt}\0{command.name}\0{command.script}\0{command.stdin}"
    run = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_DIGITS]
    return GuestTask(
        run=run, name=command.name, script=command.script, stdin=command.stdin, limit_seconds=LIMIT_SECONDS
    )


def identity_at_once(identity: GuestCommand, attempt: str, *, replaces: str = "") -> GuestTask:
    """Return the task that does what `identity` starts, from the boot to the answer; repeating it is free."""
    script = composed(release=RELEASE_NETWORK_WAIT.script, launch=identity.script, probe=PROBE.script)
    task = task_of(GuestCommand(name=IDENTITY, script=script, stdin=identity.stdin), attempt)
    return replace(task, replaces=replaces)


def composed(*, release: str, launch: str, probe: str) -> str:
    """Return one script of three, each in a shell of its own."""
    parts = {"release": release, "launch": launch, "probe": probe}
    functions = "".join(f"{name}() (\n{text}\n)\n" for name, text in parts.items())
    return functions + script("identity_at_once")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """The identity task of the ledger, as the backend tells of it."""

    state: GuestRunState | None = None
    """None: the ledger has none."""
    probe: GuestProbe | None = None
    """What it read back; None while it runs, and when it ended without a whole answer."""
    error: str = ""
    """Why it ended so."""
    old: bool = False
    """What it told may be true no more."""


def view(run: GuestRun, *, age_seconds: float) -> TaskView:
    """Return what a run tells; raises CapabilityMissing when its guest has no systemd."""
    if run.state is GuestRunState.RUNNING and age_seconds >= LOST_SECONDS:
        return TaskView(state=GuestRunState.ENDED, error=f"nothing was heard of it for {LOST_SECONDS:.0f} s", old=True)
    if run.state is not GuestRunState.ENDED:
        return TaskView(state=run.state)
    old, result = age_seconds >= OLD_SECONDS, run.result
    if result is None:
        return TaskView(state=run.state, error="nobody says how it ended", old=old)
    try:
        return TaskView(state=run.state, probe=parse_probe(result.stdout), old=old)
    except AgentNotReady:
        said = " ".join(result.stderr.split())[-200:]
        error = f"it ended with {result.exit_code}{': ' if said else ''}{said}, without a whole answer"
        return TaskView(state=run.state, error=error, old=old)


__all__ = [
    "IDENTITY",
    "LIMIT_SECONDS",
    "LOOK_SECONDS",
    "TaskView",
    "composed",
    "identity_at_once",
    "task_of",
    "view",
]
