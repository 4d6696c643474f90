"""Scrubs a clone before its network comes up: finds, overwrites, unlinks, and looks again.

Its parameters are lines of `key=value` on standard input; its answer, in the same form, is what the worker of
the guest channel records. Everything that goes is overwritten and synced before anything is unlinked. A run that
was killed is finished by the next one: overwritten files are known by how they begin.
"""

# Runs in the clone, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH123, T201

import base64
import json
import os
import sys
import time
import zlib
from typing import Any, Callable, Dict, Iterator, List, Optional

from vmclone_operator.homecopy.clone.accounts import homes, key_files, lock_passwords
from vmclone_operator.homecopy.clone.alarm import SECONDS, Alarm
from vmclone_operator.homecopy.clone.erase import empty, overwrite, remove
from vmclone_operator.homecopy.clone.masks import Mask
from vmclone_operator.homecopy.clone.own_disks import OwnDisks
from vmclone_operator.homecopy.clone.places import Section, sections
from vmclone_operator.homecopy.clone.rules import Expansion, Filter, HomeRules, NameRules, Overwritten, PlaceRules
from vmclone_operator.homecopy.clone.walk import Entry, Mounts, Place, walk

_ROUNDS = 3
"""What is written while the scrub runs goes in the next round; who goes on writing is not waited for."""
_SHOWN = 160


class Scrub:
    """One scrub of everything below a root folder."""

    def __init__(self, root: bytes, parameters: Dict[str, List[str]], mounts: bytes, boot_seconds: float) -> None:
        self._root = root
        self._rules: Dict[str, Any] = json.loads(unpacked(parameters["scrub_rules"][0]))
        allow = parameters.get("scrub_allow", [])
        self._filter = Filter(
            self._rules["filter"], self._rules["homeNames"], allow, Alarm(self._rules.get("alarmSeconds", SECONDS))
        )
        disks = parameters.get("own_disk")
        self._mounts = Mounts(mounts, OwnDisks(disks) if disks else None)
        self._expansion = Expansion(root, self._mounts)
        self._boot_seconds = boot_seconds
        self._overwritten = Overwritten()
        self._homes = homes(root)
        self._sections = [(section, _name_rules(section)) for section in self._own(parameters)]
        self._home_places = [Place(home, None, HomeRules(home, self._filter)) for home in self._homes]
        self.files = 0
        self.left = 0
        self.error = ""

    def run(self) -> None:
        """Scrub until a second look finds nothing; the numbers and the first error are there afterwards."""
        for _ in range(_ROUNDS):
            self._overwritten.inodes.clear()
            places = self._places()
            for place in places:
                self._overwrite(place)
            os.sync()
            for place in places:
                self._remove(place)
            lock_passwords(self._root)
            os.sync()
            self.left = sum(1 for place in self._places() for _ in self._remaining(place))
            if not self.left:
                break
        for path in filter(os.path.lexists, self._filter.without_end.values()):
            self.error = self.error or f"the rules come to no end in {_shown(path)}: name it in spec.scrub.paths"

    def _remaining(self, place: Place) -> Iterator[Entry]:
        for entry in walk(place, self._mounts):
            if not place.emptied and not entry.is_folder() and (place.mask is None or place.mask.leaves(entry)):
                yield entry

    def left_alone(self) -> List[bytes]:
        """Return where file systems begin that lie on no disk of the clone's own; nothing on them was looked at."""
        return sorted(self._mounts.left_alone)

    def unverified(self) -> List[str]:
        """Return the types of file systems on which overwriting proves nothing."""
        return self._mounts.unverified()

    def _places(self) -> List[Place]:
        self._expansion.look_again()
        return self._home_places + [place for section, names in self._sections for place in self._named(section, names)]

    def _own(self, parameters: Dict[str, List[str]]) -> Iterator[Section]:
        """Yield the list's sections, the owner's, and the files that sshd reads keys from."""
        yield from sections(unpacked(parameters["scrub_places"][0]))
        yield Section("any", "", parameters.get("scrub_path", []))
        yield Section("any", "", [os.fsdecode(path[len(self._root) :]) for path in key_files(self._root, self._homes)])

    def _named(self, section: Section, names: Optional[NameRules]) -> Iterator[Place]:
        folders = section.argument.split() if section.kind == "within" else section.patterns
        for pattern in folders:
            files_only = pattern.endswith("/**")
            for path in self._expansion.paths(self._root + os.fsencode(pattern)):
                yield self._place(section, names, path, files_only=files_only)

    def _place(self, section: Section, names: Optional[NameRules], path: bytes, *, files_only: bool) -> Place:
        if section.kind == "searched":
            return Place(os.path.realpath(path), None, HomeRules(path, self._filter))
        if names is not None:
            return Place(os.path.realpath(path), None, names)
        rules = PlaceRules(section, self._boot_seconds, files_only=files_only)
        mask = Mask(*section.argument.split(" ", 1)) if section.kind == "masked" else None
        return Place(*os.path.split(path), rules, section.kind == "emptied", mask)

    def _overwrite(self, place: Place) -> None:
        for entry in walk(place, self._mounts):
            if place.mask is not None:
                self._attempt(place.mask.apply, entry)
                continue
            if entry.inode in self._overwritten.inodes:
                continue
            self._overwritten.inodes[entry.inode] = place.emptied
            if entry.is_file():
                self.files += 1
                self._attempt(overwrite, entry)

    def _remove(self, place: Place) -> None:
        if place.mask is not None:
            return
        for entry in walk(place._replace(rules=self._overwritten), self._mounts):
            self._attempt(empty if self._overwritten.inodes[entry.inode] and entry.is_file() else remove, entry)

    def _attempt(self, action: Callable[[Entry], None], entry: Entry) -> None:
        try:
            action(entry)
        except (FileNotFoundError, IsADirectoryError):
            return
        except OSError as error:
            self.error = self.error or f"{error.strerror}: {_shown(entry.path)}"


def _name_rules(section: Section) -> Optional[NameRules]:
    """Return the rules of a section of names, read once: they are the same in every folder and look."""
    return NameRules(section.patterns) if section.kind == "within" else None


def unpacked(text: str) -> str:
    """Return what was packed with gzip and base64, which guests without python3 have, too."""
    return zlib.decompress(base64.b64decode(text), zlib.MAX_WBITS | 16).decode()


def main(lines: List[str]) -> int:
    """Scrub by these parameters and print the answer."""
    parameters: Dict[str, List[str]] = {}
    for line in lines:
        key, _, value = line.rstrip("\n").partition("=")
        parameters.setdefault(key, []).append(value)
    with open("/proc/self/mountinfo", "rb") as mountinfo, open("/proc/uptime") as uptime:
        mounts, boot_seconds = mountinfo.read(), time.time() - float(uptime.read().split()[0])
    scrub = Scrub(os.environb.get(b"VMCLONE_ROOT", b""), parameters, mounts, boot_seconds)
    try:
        scrub.run()
    except OSError as error:
        where = f": {_shown(os.fsencode(error.filename))}" if error.filename else ""
        scrub.error = scrub.error or f"{error.strerror}{where}"
    _answer(scrub)
    return 0


def _answer(scrub: Scrub) -> None:
    if scrub.left:
        scrub.error = scrub.error or "what should have gone is still there"
    print("scrub_engine=python")
    print("scrub_state=" + ("failed" if scrub.error else "done"))
    print(f"scrub_files={scrub.files}")
    print(f"scrub_left={scrub.left}")
    for kind in scrub.unverified():
        print("scrub_unverified=" + kind)
    for path in scrub.left_alone():
        print("scrub_left_alone=" + "".join(letter for letter in _shown(path) if letter.isprintable()))
    if scrub.error:
        print("scrub_error=" + "".join(letter for letter in scrub.error if letter.isprintable()))
    sys.stdout.flush()


def _shown(path: bytes) -> str:
    """Return a path as a message can hold it: long ones by how they begin and end."""
    text = os.fsdecode(path)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"
