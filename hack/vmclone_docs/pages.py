"""Makes pages of the site from what is checked in: one for each reason of a condition. Pure: texts in, texts out."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

_ENTRY = re.compile(r"^### (?P<reason>\w+)\n\n(?P<text>.*?)(?=\n\n#|\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_FOLDER, _SOURCE_FOLDER = "reasons", "reference"
_HOME = """# Reasons

One page for each reason of a condition and of an Event: what it means, and what to do. The same texts are on
[one page](../reference/conditions.md), and `kubectl vmclone why` says them.

"""


def reason_pages(conditions: str) -> dict[str, str]:
    """Return the pages by their path, from the text of reference/conditions.md."""
    entries = {match["reason"]: match["text"].strip() for match in _ENTRY.finditer(conditions)}
    pages = {f"{_FOLDER}/{reason.lower()}.md": _page(reason, text) for reason, text in entries.items()}
    rows = [f"- [{reason}]({reason.lower()}.md)" for reason in sorted(entries)]
    return {f"{_FOLDER}/index.md": _HOME + "\n".join(rows) + "\n"} | pages


def _page(reason: str, text: str) -> str:
    here = f"[All reasons](index.md) · [in its place](../reference/conditions.md#{reason.lower()})"
    return f"# {reason}\n\n{_moved(text)}\n\n{here}\n"


def _moved(text: str) -> str:
    """Return the text with links as they are from the folder of these pages."""

    def link(match: re.Match[str]) -> str:
        label, target = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group()
        if target.startswith("#"):
            return f"[{label}](../{_SOURCE_FOLDER}/conditions.md{target})"
        moved = posixpath.relpath(posixpath.join(_SOURCE_FOLDER, target), _FOLDER)
        return f"[{label}]({moved})"

    return _LINK.sub(link, text)


def completed(nav: list[Any], pages: Sequence[str]) -> list[Any]:
    """Return the menu with the pages that it does not name at the end of the section that shows their folder most.

    Folders of which it shows one page at most (decisions, runbooks) are found by links and by the search.
    """
    named = {path for section in nav for path in (_of(section) or [section])}
    result = []
    for section in nav:
        paths = _of(section)
        folder = Counter(posixpath.dirname(path) for path in paths).most_common(1)
        shown, times = folder[0] if folder else ("", 0)
        missing = sorted(p for p in pages if posixpath.dirname(p) == shown and p not in named) if times > 1 else []
        result.append({next(iter(section)): [*paths, *missing]} if missing else section)
    return result


def _of(section: object) -> list[str]:
    return next(iter(section.values())) if isinstance(section, dict) else []


def without_links_out(text: str, page: str) -> str:
    """Return a page's text in which what lies outside of docs/ is named and not linked: the site has only docs/.

    `page` is its path below docs/: `[a file](../examples/x.yaml)` of index.md becomes `a file (examples/x.yaml)`.
    """

    def named(match: re.Match[str]) -> str:
        label, target = match.groups()
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target.partition("#")[0]))
        if re.match(r"[a-z]+:|#", target) or path == "docs" or path.startswith("docs/"):
            return match.group()
        return label if label.strip("`") in path else f"{label} (`{path}`)"

    return _LINK.sub(named, text)
