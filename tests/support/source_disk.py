"""A source's disk as a folder: homes, accounts and system places full of canaries, and what must outlive a scrub."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from tests.support.canaries import PASSES, WORD, secret_files

from vmclone_operator.domain import guest
from vmclone_operator.domain.guest_scrub import ScrubRequest
from vmclone_operator.homecopy.clone.places import sections
from vmclone_operator.homecopy.scrub import scrub_program

HOMES = ("home/dev", "root", "srv/people/ops", "home/of-nobody-in-passwd")
PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
dev:x:1000:1000:Developer:/home/dev:/bin/bash
ops:x:1001:1001::/srv/people/ops:/bin/sh
"""
SHADOW = f"root:$6$a${WORD}:1::::::\ndaemon:*:1::::::\ndev:!$y$b${WORD}:1::::::\nops::1::::::\nbin:!:1::::::\n"
LOCKED = "root:*:1::::::\ndaemon:*:1::::::\ndev:!:1::::::\nops:*:1::::::\nbin:!:1::::::\n"
WIFI = f"[connection]\ntype=wifi\n[wifi-security]\npsk={WORD}\n"
BY_CONTENT = {
    "etc/NetworkManager/system-connections/office.nmconnection": WIFI,
    "etc/systemd/network/wg0.netdev": f"[WireGuard]\nPrivateKey={WORD}\n",
}
STAYS = {
    "etc/hostname": "golden\n",
    "etc/ssl/certs/ca.pem": "public\n",
    "etc/ssh/sshd_config": "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys/%u\n",
    "etc/openvpn/update-resolv-conf": "#!/bin/sh\n",
    "etc/NetworkManager/system-connections/wired.nmconnection": "[connection]\ntype=ethernet\n",
    "etc/systemd/network/lan.netdev": "[NetDev]\nKind=bridge\n",
    "usr/share/secrets.txt": "not in scope\n",
    "var/www/html/index.html": "hello\n",
    "srv/people/readme": "x\n",
}
OWNERS = {"srv/app/current one/db.env": WORD, "srv/app/deep/er/still/token": WORD}
OWNERS_PATHS = ("/srv/app/*/db.env", "/srv/app/**/token")
KEYS_ELSEWHERE = {"etc/ssh/keys/dev": f"ssh-ed25519 AAAA {WORD}\n"}


def system_places() -> list[str]:
    """Return one file for each pattern of the system list that is meant whatever it holds."""
    plain = [section for section in sections(scrub_program().places) if section.kind in ("any", "files", "here")]
    patterns = [path for section in plain for path in section.patterns]
    return sorted(
        {
            pattern.lstrip("/")
            .replace("**/*", "a/b")
            .replace("**", "a/b")
            .replace("[!.]*", "x")
            .replace("[0-9]", "1")
            .replace("*", "x")
            for pattern in patterns
        }
    )


def fill(root: Path, homes: Sequence[str] = HOMES[:1], *, every: int = 1) -> set[str]:
    """Write the disk, with one in so many of the system places; return the paths of all canaries."""
    gone = {f"{home}/{name}": content for home in homes for name, (_, content) in secret_files().items()}
    gone |= {place: f"{WORD} {place}\n" for place in system_places()[::every]}
    gone |= BY_CONTENT | OWNERS | KEYS_ELSEWHERE
    for path, content in {**gone, **_stays(homes), "etc/passwd": PASSWD, "etc/shadow": SHADOW}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return set(gone)


def _stays(homes: Sequence[str]) -> dict[str, str]:
    return {f"{home}/{name}": content for home in homes for name, content in PASSES.items()} | STAYS


def lost_or_changed(root: Path, homes: Sequence[str] = HOMES[:1]) -> list[str]:
    """Return what should have stayed as it was and did not."""
    return [
        path for path, text in _stays(homes).items() if not (root / path).is_file() or (root / path).read_text() != text
    ]


def request(**additions: Sequence[str]) -> ScrubRequest:
    """Return a scrub with the owner's additions."""
    return ScrubRequest(program=scrub_program(), **{name: tuple(values) for name, values in additions.items()})


def with_shape(wanted: ScrubRequest, pattern: str, *, seconds: float) -> ScrubRequest:
    """Return a scrub with one more key shape, for an expression that ours must not have, and an earlier alarm."""
    rules = json.loads(wanted.program.rules)
    rules["filter"]["signatures"].append({"name": "a test's", "anchors": ["ends-never"], "pattern": pattern})
    rules["filter"]["screens"].append({"expression": "ends-never", "finds": "ends-never"})
    rules["alarmSeconds"] = seconds
    return replace(wanted, program=replace(wanted.program, rules=json.dumps(rules)))


def with_names(wanted: ScrubRequest, *names: str) -> ScrubRequest:
    """Return a scrub that takes these names in homes, too, whatever the filter says of them."""
    rules = json.loads(wanted.program.rules)
    rules["homeNames"].extend(names)
    return replace(wanted, program=replace(wanted.program, rules=json.dumps(rules)))


def writing_secrets_into(folder: Path, *, seconds: float) -> threading.Thread:
    """Start to write one secret after the other into a folder."""

    def write() -> None:
        until = time.monotonic() + seconds
        for number in itertools.count():
            if time.monotonic() > until:
                return
            (folder / f"late {number}.p12").write_text(WORD)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def holding(root: Path, text: str) -> list[str]:
    """Return the files below that hold a text."""
    found = subprocess.run(["grep", "-rlaF", text, str(root)], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def answers(stdout: str) -> dict[str, str]:
    """Return an answer's values by key."""
    return dict(line.split("=", 1) for line in stdout.splitlines())


def scrub(root: Path, wanted: ScrubRequest) -> dict[str, str]:
    """Run the program the way the guest does and return its answer."""
    parameters = wanted.parameter_lines()
    command = [sys.executable, "-I", "-S", "-c", "import sys; lines = sys.stdin.read().splitlines(); exec(sys.argv[1])"]
    done = subprocess.run(
        [*command, wanted.program.program],
        input="\n".join(parameters),
        env={"VMCLONE_ROOT": os.fspath(root), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return answers(done.stdout)


def scrub_without_python(root: Path, wanted: ScrubRequest) -> dict[str, str]:
    """Run the engine of guests without python3, in a plain shell, and return its answer."""
    script = files(guest.__package__).joinpath("guest_scripts/scrub_posix.sh")
    with tempfile.TemporaryDirectory() as work:
        done = subprocess.run(
            ["dash", str(script)],
            input="\n".join([*wanted.parameter_lines(), "end=1", ""]),
            env={"VMCLONE_ROOT": os.fspath(root), "TMPDIR": work},
            capture_output=True,
            text=True,
            check=False,
        )
        assert os.listdir(work) == []  # noqa: PTH208 - names
    assert done.returncode == 0, done.stderr
    return answers(done.stdout)


ENGINES = {"python": scrub, "posix": scrub_without_python}
"""What scrubs in guests with python3, and in others."""
