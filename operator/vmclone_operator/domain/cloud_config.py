"""A user's own cloud-config, read strictly: it is merged under ours by structure, never as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

_LONGEST = 64 * 1024
# Beside its own errors the parser raises these: for the day 2026-99-99, `!!bool x`, `!!timestamp x`, many brackets.
_UNREADABLE = (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError, RecursionError)


class CloudConfigRefused(ValueError):  # noqa: N818  - named for what happened
    """The text is no cloud-config that can be merged; the message says why, without its content."""


class _Loader(yaml.SafeLoader):
    """Plain data only: an alias can make a small text enormous."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise CloudConfigRefused("it uses YAML aliases (*name); write the values out")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def parse_cloud_config(text: str) -> Mapping[str, Any]:
    """Return the cloud-config as a mapping; raises CloudConfigRefused."""
    if len(text) > _LONGEST:
        raise CloudConfigRefused(f"it is longer than {_LONGEST} characters")
    if text.startswith("#!") or text.lstrip().startswith(("Content-Type:", "MIME-Version:")):
        raise CloudConfigRefused("scripts and MIME archives cannot be merged; write a #cloud-config with runcmd")
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  - a subclass of SafeLoader
    except CloudConfigRefused:
        raise
    except _UNREADABLE as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise CloudConfigRefused(f"it is not YAML{place}") from None
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise CloudConfigRefused("it must be a mapping of cloud-config keys, for example packages: [git]")
    return document
