"""Lets kubectl's flags stand anywhere, as people write them: `kubectl vmclone status dev -n team-a`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_WITH_VALUE = frozenset({"-n", "--namespace", "--context", "--kubeconfig", "--as"})


def flags_first(words: Sequence[str]) -> list[str]:
    """Return the words with the flags of kubectl moved to the front; what follows `--` is a command of its own."""
    ours = list(words[: words.index("--")]) if "--" in words else list(words)
    rest = list(words[len(ours) :])
    front: list[str] = []
    kept: list[str] = []
    while ours:
        word = ours.pop(0)
        if word in _WITH_VALUE and ours:
            front += [word, ours.pop(0)]
        elif word.partition("=")[0] in _WITH_VALUE and "=" in word:
            front.append(word)
        else:
            kept.append(word)
    return [*front, *kept, *rest]
