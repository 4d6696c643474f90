"""Finding keys by what is asked of them: no event and no pass walks over all objects to find the few it concerns."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Generic, TypeVar

from vmclone_operator.kube.cluster import Key

Name = TypeVar("Name", bound=Hashable)


class Keys(dict[Key, None]):
    """A set that keeps its order: what wakes many wakes them in the same order in every run."""

    def add(self, key: Key) -> None:
        """Have the key in it, at its end unless it is there."""
        self[key] = None

    def discard(self, key: Key) -> None:
        """Have the key in it no more."""
        self.pop(key, None)


class Index(Generic[Name]):
    """Keys by the names that they go by now; a key may have several names, or none."""

    def __init__(self) -> None:
        self._keys: dict[Name, Keys] = {}
        self._names: dict[Key, Collection[Name]] = {}

    def put(self, key: Key, names: Collection[Name]) -> None:
        """Let a key go by these names, and by no other."""
        known = self._names.get(key, ())
        if known == names:
            return
        for name in known:
            if name not in names:
                self._take(name, key)
        for name in names:
            self._keys.setdefault(name, Keys()).add(key)
        if names:
            self._names[key] = names
        else:
            self._names.pop(key, None)

    def drop(self, key: Key) -> None:
        """Forget a key."""
        self.put(key, ())

    def of(self, name: Name) -> Collection[Key]:
        """Return the keys that go by a name, in the order in which they came to it."""
        return self._keys.get(name, {})

    def names_of(self, key: Key) -> Collection[Name]:
        """Return the names of a key."""
        return self._names.get(key, ())

    def __iter__(self) -> Iterator[Key]:
        """Yield all keys that have a name."""
        return iter(self._names)

    def _take(self, name: Name, key: Key) -> None:
        keys = self._keys[name]
        keys.discard(key)
        if not keys:
            del self._keys[name]
