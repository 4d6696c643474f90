"""The home of the demo's source: work that people want in their clones, and secrets that must stay behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmclone_demo.checks import ssh

# None of these opens anything; they have the shape that the filter knows.
_PLANT = r"""
set -eu
[ ! -e .vmclone-demo ] || exit 0
mkdir -p work/api .aws .ssh .config/gh notes
for number in $(seq 1 200); do echo "line $number of the work" >"notes/$number.txt"; done
echo 'def answer(): return 42' >work/api/app.py
echo 'export EDITOR=vi' >>.bashrc
printf '[default]\naws_access_key_id = AKIA%s\n' DEMO0DEMO0DEMO00 >.aws/credentials
echo 'TOKEN=demo' >work/api/.env
echo 'github.com: {oauth_token: demo}' >.config/gh/hosts.yml
printf -- '-----BEGIN OPENSSH %s KEY-----\ndemo\n-----END OPENSSH %s KEY-----\n' PRIVATE PRIVATE >.ssh/id_ed25519
printf 'KEY = "AKIA%s"\n' DEMODEMODEMODEMO >work/api/settings.py
echo 'ls; pwd' >.bash_history
touch .vmclone-demo
"""
WORK = ("work/api/app.py", "notes/200.txt", ".bashrc")
SECRETS = (
    ".aws/credentials",
    "work/api/.env",
    ".config/gh/hosts.yml",
    ".ssh/id_ed25519",
    "work/api/settings.py",
    ".bash_history",
)


def plant(source: Mapping[str, Any]) -> None:
    """Put work and secrets into the source's home, once."""
    ssh(source["address"], source["hostKey"], source, "sh -s", given=_PLANT)


def found(replica: Mapping[str, Any], source: Mapping[str, Any], paths: tuple[str, ...]) -> list[str]:
    """Return which of these files of ours a clone's home has."""
    guest = replica["status"]["guest"]
    script = "\n".join(f"[ ! -e {path} ] || echo {path}" for path in paths)
    said = ssh(guest["addresses"][0], guest["sshHostKeys"][0], source, "sh -s", given=script)
    return said.split()


def receipt(replica: Mapping[str, Any]) -> str:
    """Return the receipt of a home copy in one line."""
    copied = replica["status"]["homeCopy"]
    rules = ", ".join(f"{rule} {count}" for rule, count in sorted(copied.get("excluded", {}).items()))
    return f"{copied['files']} files, {copied['bytes']} bytes; left out: {rules}"
