"""The site has a page for each reason that a condition can have, and no link that leads out of it."""

from __future__ import annotations

import pytest

from vmclone_docs.pages import completed, reason_pages, without_links_out
from vmclone_generate.checked_in import ROOT
from vmclone_generate.reasons import PAGE, entries_of

CONDITIONS = """# Condition reasons

## Ready

### AllReady

All replicas are Ready, see [limits](../limits.md) and [another](#other) or [out](https://example.com).

*What to do:* Nothing.

### Other

It waits.

*What to do:* Wait.
"""


def test_a_reason_has_a_page_whose_links_are_right_from_there() -> None:
    page = reason_pages(CONDITIONS)["reasons/allready.md"]
    assert page.startswith("# AllReady\n\nAll replicas are Ready")
    assert "[limits](../limits.md)" in page
    assert "[another](../reference/conditions.md#other)" in page
    assert "[out](https://example.com)" in page
    assert "*What to do:* Nothing." in page


def test_every_reason_that_is_explained_has_a_page_and_a_row() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    pages, reasons = reason_pages(text), entries_of(text)
    assert {f"reasons/{reason.lower()}.md" for reason in reasons} <= pages.keys()
    assert not [reason for reason in reasons if f"[{reason}]({reason.lower()}.md)" not in pages["reasons/index.md"]]


LINKS = {
    "a page beside it": ("[a](b.md)", "how-to/x.md", "[a](b.md)"),
    "a page of another folder": ("[a](../reference/b.md#c)", "how-to/x.md", "[a](../reference/b.md#c)"),
    "a file outside": ("[the manifest](../../examples/a.yaml)", "how-to/x.md", "the manifest (`examples/a.yaml`)"),
    "a file outside that is named": ("[a.yaml](../../examples/a.yaml)", "how-to/x.md", "a.yaml"),
    "a heading outside": ("[what it costs](../README.md#x)", "index.md", "what it costs (`README.md`)"),
    "another host": ("[a](https://example.com)", "index.md", "[a](https://example.com)"),
    "a heading of its own": ("[a](#b)", "index.md", "[a](#b)"),
}


@pytest.mark.parametrize(("text", "page", "expected"), LINKS.values(), ids=LINKS.keys())
def test_what_lies_outside_of_the_site_is_named_and_not_linked(text: str, page: str, expected: str) -> None:
    assert without_links_out(text, page) == expected


def test_a_page_that_the_menu_forgets_is_at_the_end_of_its_section() -> None:
    menu = ["index.md", {"How to": ["how-to/b.md", "how-to/c.md"]}, {"More": ["more.md", "adr/1.md"]}]
    pages = ["how-to/c.md", "how-to/b.md", "how-to/a.md", "adr/2.md"]
    assert completed(menu, pages) == [
        "index.md",
        {"How to": ["how-to/b.md", "how-to/c.md", "how-to/a.md"]},
        {"More": ["more.md", "adr/1.md"]},
    ]
