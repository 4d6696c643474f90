"""Decides what may leave a home, by name and by content; knows the rules only as data.

What others published stays as it is, whatever shapes are in it: the files of installed packages, which describe formats
and hold test keys, and files as a repository's commit has them, whose content goes with the repository anyway.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045

from typing import Any, Callable, Dict, List, NamedTuple, Optional

from vmclone_operator.homecopy.source.armour import is_only_public
from vmclone_operator.homecopy.source.copies import Copies
from vmclone_operator.homecopy.source.patterns import Patterns
from vmclone_operator.homecopy.source.settings import has_no_secret
from vmclone_operator.homecopy.source.signatures import Signatures

EXTRA = "extra"
"""The family of what users add: nobody's word lets it pass, nor that it is in a folder that is kept back anyway."""
_KEYS = "ssh-keys"
_SETTINGS = "env"
Read = Callable[[], Optional[bytes]]
"""Gives a file's bytes, or nothing when it is larger than what is looked into."""


class Family(NamedTuple):
    """One family of the floor."""

    name: str
    never: Patterns
    spared: Patterns
    by_content: Patterns


class Verdict(NamedTuple):
    """Why a path stays behind (`family`), or that only the owner's word lets it pass."""

    family: Optional[str]
    allowed: bool = False
    rule: str = ""
    """The key shape that was found, where nothing but what is in a file keeps it back."""


PASSES = Verdict(None)


class Judge:
    """The floor, the additional patterns and the owner's exceptions, asked about one path at a time."""

    def __init__(  # noqa: PLR0917  - what the source says of git and of trees is asked for, not known here
        self,
        rules: Dict[str, Any],
        excludes: List[str],
        allow: List[str],
        tracked: Callable[[bytes], bool],
        published: Callable[[bytes], bool] = lambda _: False,
        by_others: Callable[[bytes], bool] = lambda _: False,
        as_packed: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        families = rules["families"]
        self._families = [
            Family(name, *(Patterns(families[name].get(key, ())) for key in ("never", "except", "byContent")))
            for name in sorted(families)
        ]
        self._any_never = Patterns(pattern for family in families.values() for pattern in family.get("never", ()))
        self._any_doubtful = Patterns(
            pattern for family in families.values() for pattern in family.get("byContent", ())
        )
        self._copies = Copies(rules["copies"])
        self._extra = Patterns(excludes)
        self._allow = Patterns(allow)
        self._git_store = Patterns(rules["gitStore"])
        self._package_inside = Patterns(rules["packageTrees"]["inside"])
        self._package_code = Patterns(rules["packageTrees"]["code"])
        self._describing = Patterns(rules["describing"])
        self._settings = Patterns(rules["settings"])
        self._armoured = Patterns(rules["armoured"])
        self._public = frozenset(label.encode() for label in rules["publicBlocks"])
        self._signatures = Signatures(rules)
        self._tracked, self._published, self._by_others, self._as_packed = tracked, published, by_others, as_packed
        self._lock_files = Patterns(rules["lockFiles"]["names"])
        self._not_by_value = Signatures(_without(rules, rules["lockFiles"]["shapes"]))
        self._not_by_example = Signatures(_without(rules, rules["published"]["shapes"]))

    def allows(self, path: bytes, *, is_directory: bool = False) -> bool:
        """Return whether the source's owner lets this path pass in spite of the floor."""
        return self._allow.match(path, is_directory=is_directory)

    def by_name(self, path: bytes, *, is_directory: bool = False) -> Optional[str]:
        """Return the family whose names alone keep this path back."""
        if self._extra.match(path, is_directory=is_directory):
            return EXTRA
        names = [name for name in self._copies.originals(path) if self._any_never.may_match(name)]
        if not names or self._git_store.match(path, is_directory=is_directory):
            return None
        for family in self._families:
            if family.never.match_any(names, is_directory=is_directory) and not self._is_spared(family, path):
                return family.name
        return None

    def _is_spared(self, family: Family, path: bytes) -> bool:
        return family.spared.match_any(self._copies.originals(path))

    def family_above(self, path: bytes) -> Optional[str]:
        """Return the family that holds a directory above the path."""
        names = path.split(b"/")[:-1]
        family: Optional[str] = None
        for depth in range(1, len(names) + 1):
            folder = b"/".join(names[:depth])
            family = self.below(family, folder, is_directory=True)
            if family not in (None, EXTRA) and self.allows(folder, is_directory=True):
                family = None
        return family

    def below(self, family: Optional[str], path: bytes, *, is_directory: bool = False) -> Optional[str]:
        """Return the family that keeps a path back by name, in a folder of this family; what users add goes first."""
        own = self.by_name(path, is_directory=is_directory)
        return EXTRA if EXTRA in (family, own) else family or own

    def git_may_say(self, tree: bytes, path: bytes) -> bool:
        """Return whether the commit of a work tree may say that a path in it is nobody's secret.

        It may not in a store of secrets that is a repository itself (`~/.password-store`), nor of what is secret for
        the place of the work tree (`gcloud/` in `~/.config`): committed there are the user's own secrets.
        """
        if not tree:
            return True
        if self.family_above(tree + b"/.") is not None:
            return False
        inside = path[len(tree) + 1 :]
        by_place = (self.family_above(path) or self.by_name(path)) is not None
        return not by_place or (self.family_above(inside) or self.by_name(inside)) is not None

    def file(self, path: bytes, read: Read) -> Verdict:
        """Return the verdict on a regular file; it is read only when its name does not settle it."""
        family = self.by_name(path)
        if family not in (None, EXTRA) and self._by_others(path):
            return PASSES
        if family != EXTRA and self.allows(path):
            return Verdict(None, allowed=(family or self._by_content(path, read).family) is not None)
        return Verdict(family) if family else self._by_content(path, read)

    def _by_content(self, path: bytes, read: Read) -> Verdict:
        data = read()
        doubtful = self._doubtful(path)
        if doubtful is None or self._git_store.match(path):
            rule = None if data is None else self._secret_of(path, data)
            verdict = Verdict("content", rule=rule) if rule else PASSES
        elif data is None:
            return Verdict(doubtful)
        else:
            spared = not data or self._is_public(path, data) or self._is_example(path, doubtful, data)
            verdict = PASSES if spared else Verdict(doubtful)
        return PASSES if verdict.family is None or self._is_known(path, doubtful) else verdict

    def _secret_of(self, path: bytes, data: bytes) -> Optional[str]:
        """Return the key shape in an ordinary file; none that is a checksum or an example where these are."""
        rule = self.secret_in(data)
        if rule and self._lock_files.match(path):
            return self._not_by_value.found_in(data)
        if rule and self._published(path):
            return self._not_by_example.found_in(data)
        return rule

    def _is_example(self, path: bytes, doubtful: str, data: bytes) -> bool:
        """Return whether a doubtful name is that of settings without a secret, or of a published test or document."""
        if doubtful == _KEYS or self.secret_in(data):
            return False
        settings = self._settings.match_any(self._copies.originals(path)) and has_no_secret(data)
        return settings or self._published(path)

    def _is_known(self, path: bytes, doubtful: Optional[str]) -> bool:
        """Return whether this is a file that others published: of an installed package, as git has it, or as packed.

        That it is as packed clears keys of tests; settings may be those that a service of one's own is packed with.
        """
        if self._is_package_code(path) or self._tracked(path):
            return True
        settings = doubtful == _SETTINGS or self._settings.match_any(self._copies.originals(path))
        return not settings and self._as_packed(path)

    def is_by_others(self, path: bytes) -> bool:
        """Return whether a file is as others committed it, which a name of its own or above it does not keep back."""
        return self._by_others(path)

    def is_ordinary(self, path: bytes) -> bool:
        """Return whether nothing but a key shape inside can keep a file back."""
        return self.by_name(path) is None and (self._doubtful(path) is None or self._git_store.match(path))

    def _doubtful(self, path: bytes) -> Optional[str]:
        """Return the family whose names may be secrets and may be none."""
        every = self._copies.originals(path)
        names = [name for name in every if self._any_doubtful.may_match(name)]
        if not names or self._describing.match_any(every):
            return None
        for family in self._families:
            if family.by_content.match_any(names) and not self._is_spared(family, path):
                return family.name
        return None

    def _is_package_code(self, path: bytes) -> bool:
        return self._package_code.match(path) and self._package_inside.match(path)

    def _is_public(self, path: bytes, data: bytes) -> bool:
        """Return whether the file holds certificates or public keys, and nothing besides that may be a secret."""
        armoured = self._armoured.match_any(self._copies.originals(path))
        return is_only_public(data, self._public, armoured=armoured) and not self.secret_in(data)

    def secret_in(self, data: bytes) -> Optional[str]:
        """Return the name of the first key shape in a text; binary files have none that could be told apart."""
        return self._signatures.found_in(data)

    def is_clean(self, lines: List[bytes], read: Read) -> bool:
        """Return whether an ordinary text is clean of which all lines that may hold a secret are known."""
        return not lines or self._signatures.found_in_lines(lines, lambda: read() or b"") is None


def _without(rules: Dict[str, Any], names: List[str]) -> Dict[str, Any]:
    """Return the rules without the key shapes of these names."""
    kept = {key: [shape for shape in rules[key] if shape["name"] not in names] for key in ("signatures", "shapes")}
    return dict(rules, **kept)
