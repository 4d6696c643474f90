"""A user's cloud-config is taken as plain data or refused with a sentence that never shows its content."""

from __future__ import annotations

import pytest

from vmclone_operator.domain.cloud_config import CloudConfigRefused, parse_cloud_config

TAKEN: dict[str, tuple[str, dict[str, object]]] = {
    "nothing": ("", {}),
    "a header alone": ("#cloud-config\n", {}),
    "comments": ("# one\n# two\n", {}),
    "packages": ("#cloud-config\npackages: [git, tmux]\n", {"packages": ["git", "tmux"]}),
    "commands": ("runcmd:\n- [echo, 'a: b']\n", {"runcmd": [["echo", "a: b"]]}),
    "without its header": ("hostname: x\n", {"hostname": "x"}),
}


@pytest.mark.parametrize(("text", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_a_mapping_is_taken(text: str, expected: dict[str, object]) -> None:
    assert parse_cloud_config(text) == expected


SECRET = "hunter2hunter2"
REFUSED = {
    "a script": (f"#!/bin/sh\necho {SECRET}\n", "scripts and MIME archives"),
    "a MIME archive": (f"Content-Type: multipart/mixed\n\n{SECRET}", "scripts and MIME archives"),
    "a MIME archive after blank lines": (f"\n\nMIME-Version: 1.0\n\n{SECRET}", "scripts and MIME archives"),
    "a list": (f"- {SECRET}\n", "must be a mapping"),
    "a text": (SECRET, "must be a mapping"),
    "a list of addresses to fetch": (f"#include\nhttp://x/{SECRET}\n", "must be a mapping"),
    "a key that is a number": (f"1: {SECRET}\n", "must be a mapping"),
    "aliases": (f"a: &a {SECRET}\nb: *a\n", "uses YAML aliases"),
    "aliases that would fill the memory": ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "uses YAML aliases"),
    "a merge key": (f"a: &a {{p: {SECRET}}}\nb: {{<<: *a}}\n", "uses YAML aliases"),
    "something unfinished": (f"a: [{SECRET}\n", "is not YAML at line"),
    "two documents": (f"a: 1\n---\nb: {SECRET}\n", "is not YAML"),
    "an object of this program": (f"a: !!python/object/apply:os.system [{SECRET}]\n", "is not YAML"),
    "a control character": (f"a: {SECRET}\x07\n", "is not YAML"),
    "a day that does not exist": ("a: 2026-99-99\n", "is not YAML"),
    "a number of ten thousand digits": (f"a: {'9' * 10_000}\n", "is not YAML"),
    "a tag that its value does not fit": (f"a: !!int {SECRET}\n", "is not YAML"),
    "a truth that is none": (f"a: !!bool {SECRET}\n", "is not YAML"),
    "a time that is none": (f"a: !!timestamp {SECRET}\n", "is not YAML"),
    "ten thousand brackets": ("[" * 10_000, "is not YAML"),
    "too long a text": (f"a: {'x' * 65_536}\n", "is longer than 65536 characters"),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_everything_else_is_refused_without_a_word_of_it(text: str, sentence: str) -> None:
    """User-data holds passwords: the message goes into conditions and Events."""
    with pytest.raises(CloudConfigRefused, match=sentence) as refused:
        parse_cloud_config(text)
    assert SECRET not in str(refused.value)
