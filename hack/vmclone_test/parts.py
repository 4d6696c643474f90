"""The parts of a test run: which folders, on what of the lab, and how long at most.

Decided in one place, so that the runner can refuse a test folder that belongs to no part.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NEED_PREPARATION = ("argocd", "arm", "chart", "copies", "truth_table", "e2e")
"""Test folders that use what a part prepares; a selection of others does without."""
LAB_DOWN_MARKER = "lab_down"
BY_HAND_MARKER = "by_hand"
"""Slow repeats of what another test of every run proves already: see `MORE`."""
PREPARE_SECONDS = 15 * 60
"""Deadline of one preparing command: an image on a cold cache."""
LAB_UP_SECONDS = 30 * 60
"""Deadline of `hack/lab up`: a cold start builds Kubernetes and a guest image."""


@dataclass(frozen=True)
class Part:
    """One pytest run."""

    name: str
    folders: tuple[str, ...]
    deadline_seconds: int
    lab: tuple[str, ...] | None = None
    """Arguments of `hack/lab up`; None when the part runs outside the lab."""
    packages: tuple[str, ...] = ()
    """Debian packages that the tests themselves need."""
    prepare: tuple[tuple[str, ...], ...] = ()
    """Commands below the checkout that run first, outside of the lab: its network leads nowhere."""
    workers: int = 0
    """Processes that share the tests; 0: this one alone, for tests that share a lab."""
    does: str = ""
    """What it proves, for the command's help."""
    marker: str = f"not {LAB_DOWN_MARKER} and not {BY_HAND_MARKER}"
    """The pytest `-m` expression."""


UNIT = Part(
    "unit", ("tests/unit",), deadline_seconds=10 * 60, workers=2, does="Decisions, parsers and generated files. No lab."
)
BEHAVIOUR = Part(
    "behaviour",
    ("tests/behaviour", "tests/scrub"),
    deadline_seconds=10 * 60,
    workers=2,
    does="The engine over doubles on a clock of their own, and the scrub on folders. No lab.",
)
CRASH = Part(
    "crash",
    ("tests/crash",),
    deadline_seconds=25 * 60,
    workers=2,
    does="The operator is killed at every write, random lives, and planted bugs that must be caught. No lab.",
)
CONTRACT = Part(
    "contract",
    ("tests/contract",),
    25 * 60,
    lab=("--only", "libvirt"),
    does="One suite over every backend: real libvirtd, the doubles of the others.",
)
INTEGRATION = Part(
    "integration",
    ("tests/integration",),
    45 * 60,
    lab=(),
    packages=("git", "lua5.1", "openssh-client", "openssh-server", "parted", "rsync"),
    prepare=(("hack/lab", "build", "helm", "kstatus", "armjudge", "promtool"), ("hack/images/build",)),
    does="Real API server, kubelet, libvirtd, sshd and rsync; no guest boots.",
)
E2E = Part(
    "e2e",
    ("tests/e2e",),
    40 * 60,
    lab=(),
    prepare=(("hack/lab", "build", "helm"), ("hack/images/build",)),
    does="QEMU guests: clones of running sources, their identity, home copies, reboots.",
)
FLEET = Part(
    "fleet",
    ("tests/fleet",),
    150 * 60,
    lab=("--only", "control-plane"),
    does="What 200, 1,000 and 5,000 VMClones cost. An hour and more.",
)
MORE = Part(
    "more",
    ("tests/e2e",),
    40 * 60,
    lab=(),
    prepare=E2E.prepare,
    marker=BY_HAND_MARKER,
    does="Slow repeats: the stock guest's whole life, a reboot from inside beside the power cycle.",
)
REMOTE = Part(
    "remote",
    ("tests/remote",),
    40 * 60,
    lab=(),
    prepare=E2E.prepare,
    does="hack/demo over the doubles of the remote backends, QEMU guests behind them. Ten minutes.",
)
UPGRADE = Part(
    "upgrade",
    ("tests/upgrade",),
    10 * 60,
    lab=("--only", "control-plane"),
    packages=("git",),
    does="From an earlier release, by its tag, or from the commit that VMCLONE_UPGRADE_FROM names.",
)
ARGOCD = Part(
    "argocd",
    ("tests/argocd",),
    45 * 60,
    lab=("--only", "control-plane"),
    packages=("git", "lua5.1", "redis-server"),
    prepare=(("hack/lab", "build", "argocd"),),
    does="A real Argo CD syncs VMClones, and its own tests judge our scripts. Minutes to compile once.",
)
LAB_DOWN = Part("lab_down", ("tests",), 10 * 60, marker=LAB_DOWN_MARKER)
NAMED = (UNIT, BEHAVIOUR, CRASH, CONTRACT, INTEGRATION, E2E)
"""What a user can ask for; all of them, then LAB_DOWN, is the default."""
BY_HAND = (FLEET, MORE, REMOTE, UPGRADE, ARGOCD)
"""What a user can ask for beside them: too long for every run."""
_BY_NAME = {part.name: part for part in (*NAMED, *BY_HAND)}


class UnknownPartError(ValueError):
    """A word of the command line names no part."""

    def __init__(self, word: str) -> None:
        super().__init__(f"hack/test has no part {word!r}: name {', '.join(_BY_NAME)}, or a path below tests/")


def choose(arguments: Sequence[str]) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Split the command line into parts, in their own order, and arguments for pytest.

    Parts come first. Without one, the paths among the arguments choose the parts that run them:
    `tests/unit/api` alone is `unit tests/unit/api`.

    Raises UnknownPartError for a first word that is neither a part nor an option nor a path.
    """
    names = list(itertools.takewhile(_BY_NAME.__contains__, arguments))
    rest = tuple(arguments[len(names) :])
    if rest and not rest[0].startswith(("-", "tests/")):
        raise UnknownPartError(rest[0])
    names = names or [part.name for part in NAMED if any(_runs(part, argument) for argument in rest)]
    chosen = tuple(part for part in _BY_NAME.values() if part.name in names)
    return chosen or (*NAMED, LAB_DOWN), rest


def _runs(part: Part, argument: str) -> bool:
    """Tell whether an argument is a path in one of the part's folders."""
    return any(f"{argument}/".startswith(f"{folder}/") for folder in part.folders)


def homeless_folders(root: Path) -> list[str]:
    """Return the test folders that no part runs: their tests would pass for ever, unseen."""
    covered = {folder for part in (*NAMED, *BY_HAND) for folder in part.folders}
    tests = {path.relative_to(root).parts[:2] for path in (root / "tests").rglob("test_*.py")}
    return sorted({"/".join(parts) for parts in tests} - covered)


def has_tests(root: Path, part: Part) -> bool:
    """Tell whether any folder of the part holds a test module."""
    return any(True for folder in part.folders for _ in (root / folder).rglob("test_*.py"))
