"""The kernel's command line of a source whose kernel its host starts: which words its clone must not have.

A guest reads it at every boot, so a credential or a name in it would come back after the scrub.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
_CLOUD_CONFIG = re.compile(r"(?:^|(?<=\s))cc:.*?(?:end_cc|$)", re.DOTALL)
"""cloud-config in the command line itself, from `cc:` to `end_cc`."""


class Word(NamedTuple):
    """Words that begin or look so, and why a clone has none of them."""

    pattern: str
    shown: str
    reason: str


DROPPED = (
    Word(
        r"systemd\.set_credential(_binary)?=", "systemd.set_credential=, systemd.set_credential_binary=", "a credential"
    ),
    Word(r"systemd\.(machine_id|hostname)=", "systemd.machine_id=, systemd.hostname=", "the source's identity"),
    Word(r"(ci\.)?(ds|datasource)=", "ds=, ci.ds=, ci.datasource=", "the source's seed for cloud-init"),
    Word(
        r"(cloud-config-url|network-config|url)=",
        "cloud-config-url=, network-config=",
        "the source's seed for cloud-init",
    ),
    Word(
        r"(ignition|coreos)\.config\.\w+=",
        "ignition.config.url=, coreos.config.url=",
        "the source's first configuration",
    ),
    Word(r"hostname=", "hostname=", "the source's identity"),
)
REFUSED = (
    Word(r"ip=(\d+\.|\[)", "ip= with an address", "the clone would have the source's address"),
    Word(
        r"(nfsroot|netroot|nbdroot)=|root=(/dev/nfs|nfs\d?:|iscsi:|nbd:|fcoe:)",
        "nfsroot=, netroot=, root=nfs:",
        "the clone would write the source's own root",
    ),
    Word(r"rd\.iscsi\.", "rd.iscsi.*", "the clone would be the source at its storage"),
    Word(
        r"[^=]*(passw|secret|token|credential|api_?key|private_?key)[^=]*=",
        "*password*=, *secret*=, *token*=, *credential*=",
        "it looks like a credential",
    ),
)


def _first(words: tuple[Word, ...], text: str) -> Word | None:
    return next((word for word in words if re.match(word.pattern, text, re.IGNORECASE)), None)


def without_own_words(line: str) -> str:
    """Return a kernel's command line without what is the source's alone; one that holds nothing of it as it is."""
    rest = _CLOUD_CONFIG.sub("", line)
    words = _WORD.findall(rest)
    left = [word for word in words if _first(DROPPED, word) is None]
    return line if rest == line and left == words else " ".join(left)


def secret_words(line: str) -> list[str]:
    """Return why a clone cannot have this command line, in sentences."""
    found = [(word.partition("=")[0], _first(REFUSED, word)) for word in _WORD.findall(without_own_words(line))]
    return [
        f"the VM has {name}= on its kernel's command line (<cmdline>): {rule.reason}; remove it from the source"
        for name, rule in found
        if rule is not None
    ]
