"""Knows which files are as git has them: their content is that of the commit which is checked out.

A name in the index proves nothing: a template that was filled in, a file that was only staged, and one that git was
told to overlook stand there too. So the content is hashed and looked up in the commit's trees.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH118, PTH123

import hashlib
import os
import stat
import struct
from typing import Any, Callable, Dict, Optional, Tuple

from vmclone_operator.homecopy.source.git_store import Damaged, Store, common_folder, git_folder, head_commit

_LARGEST = 256 * 1024 * 1024
_BLOCK = 1024 * 1024
_SHA1_DIGITS = 40
_REGULAR = (b"100644", b"100755", b"100664")
_FOLDER = b"40000"
_UNREADABLE = (OSError, ValueError, IndexError, struct.error, Damaged)

Tree = Dict[bytes, Tuple[bytes, bytes]]
"""Mode and object of each name."""


class TrackedFiles:
    """Answers whether a file is what the repository has that it lies in; reads each repository once."""

    def __init__(
        self, home: bytes, files: Optional[bytes] = None, *, may_say: Callable[[bytes, bytes], bool] = lambda *_: True
    ) -> None:
        self._home = home
        self._may_say = may_say
        """Says whether the commit of this work tree has a say about this path; both relative to the home."""
        self._files = files or home
        """Where the files lie: what arrived late is judged elsewhere than its repository is."""
        self._repositories: Dict[bytes, Optional[Repository]] = {}

    def has(self, path: bytes, *, home_itself: bool = True) -> bool:
        """Return whether git has this path (relative to the home) with this content.

        With `home_itself` false, a repository whose work tree is the home has no say.
        """
        folder, name = os.path.split(path)
        while folder or home_itself:
            repository = self._in(folder)
            if repository is not None:
                return self._may_say(folder, path) and repository.has(name, os.path.join(self._files, path))
            if not folder:
                return False
            folder, last = os.path.split(folder)
            name = last + b"/" + name
        return False

    def _in(self, folder: bytes) -> "Optional[Repository]":
        if folder not in self._repositories:
            store = git_folder(os.path.join(self._home, folder))
            self._repositories[folder] = None if store is None else Repository(store)
        return self._repositories[folder]


class Repository:
    """One repository's checked-out commit."""

    def __init__(self, folder: bytes) -> None:
        common = common_folder(folder)
        head = head_commit(folder, common)
        self._hash: Any = hashlib.sha1 if head is None or len(head) == _SHA1_DIGITS else hashlib.sha256
        self._store = Store(common, self._hash().digest_size)
        self._trees: Dict[bytes, Tree] = {}
        self._root: Optional[bytes] = None
        try:
            self._root = self._tree_of(bytes.fromhex(head.decode())) if head else None
        except _UNREADABLE:
            self._root = None

    def has(self, name: bytes, full_path: bytes) -> bool:
        """Return whether the commit has this name, relative to the work tree, with the content of that file."""
        try:
            committed = self._committed(name)
            return committed is not None and committed == self._hashed(full_path)
        except _UNREADABLE:
            return False

    def _tree_of(self, commit: bytes) -> bytes:
        kind, content = self._store.read(commit)
        if kind != b"commit" or not content.startswith(b"tree "):
            raise Damaged("HEAD is no commit")
        return bytes.fromhex(content[5 : content.index(b"\n")].decode())

    def _committed(self, name: bytes) -> Optional[bytes]:
        tree = self._root
        *folders, last = name.split(b"/")
        for folder in folders:
            mode, tree = self._tree(tree).get(folder, (b"", None)) if tree else (b"", None)
            if mode != _FOLDER:
                return None
        mode, blob = self._tree(tree).get(last, (b"", b"")) if tree else (b"", b"")
        return blob if mode in _REGULAR else None

    def _tree(self, name: bytes) -> Tree:
        if name not in self._trees:
            kind, content = self._store.read(name)
            if kind != b"tree":
                raise Damaged("a folder is no tree")
            self._trees[name] = parse_tree(content, self._hash().digest_size)
        return self._trees[name]

    def _hashed(self, path: bytes) -> Optional[bytes]:
        """Return the name that git would give to a file's content."""
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb", buffering=0) as file:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode) or info.st_size > _LARGEST:
                return None
            digest = self._hash(b"blob %d\0" % info.st_size)
            for block in iter(lambda: file.read(_BLOCK), b""):
                digest.update(block)
        return bytes(digest.digest())


def parse_tree(content: bytes, id_bytes: int) -> Tree:
    """Return what a tree object lists."""
    found: Tree = {}
    at = 0
    while at < len(content):
        end = content.index(b"\0", at)
        mode, _, name = content[at:end].partition(b" ")
        at = end + 1 + id_bytes
        found[name] = mode, content[end + 1 : at]
    return found
