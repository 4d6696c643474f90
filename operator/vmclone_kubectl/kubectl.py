"""Calls `kubectl` and reads its JSON: the only module that starts a program to reach the cluster.

A refusal by the API server arrives on stderr as `Error from server (Reason): message`. `Reason` is the machine-readable
reason of the Status object that the server sent; kubectl has no other form for it.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]

_SERVER_ERROR = re.compile(r"^Error from server(?: \((?P<reason>\w+)\))?: (?P<message>.*)", re.DOTALL | re.MULTILINE)
_MISSING = "kubectl is not on the PATH: install it, then try again"


class KubectlError(Exception):
    """A call that failed, in words for people."""


class NotFoundError(KubectlError):
    """The object, or the whole kind, is not there."""


class ForbiddenError(KubectlError):
    """The person who runs this may not do it; the message names the right."""


@dataclass(frozen=True)
class Kubectl:
    """One cluster, user and namespace, as the flags before the command say."""

    flags: Sequence[str] = ()
    """Passed on to every call: `--context`, `--as`, `--kubeconfig`, `--namespace`."""
    program: str = "kubectl"
    environment: Mapping[str, str] | None = field(default=None)

    def get(self, kind: str, name: str) -> Document:
        """Return one object. Raises NotFoundError, ForbiddenError or KubectlError."""
        found: Document = json.loads(self.call("get", kind, name, "--output=json"))
        return found

    def every(self, kind: str, *, selector: str = "", everywhere: bool = False, fields: str = "") -> list[Document]:
        """Return the objects of a kind in the namespace, or in all of them."""
        words = ["get", kind, "--output=json"]
        words += [f"--selector={selector}"] if selector else []
        words += [f"--field-selector={fields}"] if fields else []
        words += ["--all-namespaces"] if everywhere else []
        items: list[Document] = json.loads(self.call(*words))["items"]
        return items

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        """Merge a change into an object."""
        self.call("patch", kind, name, "--type=merge", f"--patch={json.dumps(change)}")

    def allows(self, verb: str, resource: str) -> bool:
        """Return whether this person may do that in the namespace."""
        done = self._run(["auth", "can-i", verb, resource, "--quiet"])
        return done.returncode == 0

    def call(self, *words: str, stdin: str | None = None, apart: bool = False) -> str:
        """Run kubectl and return what it printed; `apart`: what the terminal sends to end its programs spares it."""
        done = self._run(words, stdin=stdin, apart=apart)
        if done.returncode != 0:
            raise _error(done.stderr)
        return done.stdout

    def documents(self, *words: str) -> list[Document]:
        """Run kubectl and return the objects that it printed as JSON, one after the other."""
        return list(_documents(self.call(*words).splitlines(keepends=True)))

    @contextmanager
    def watch(self, kind: str, name: str, *, seconds: float | None = None) -> Iterator[Iterator[Document]]:
        """Give every state of one object as it changes, the present one first; kubectl ends with the block.

        The states end when the API server ends the watch, or after so many seconds.
        """
        argv = self._argv(["get", kind, name, "--watch", "--output=json"])
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=_env(self.environment)) as process:
            alarm = None if seconds is None else threading.Timer(seconds, process.terminate)
            try:
                if alarm is not None:
                    alarm.start()
                yield _documents(process.stdout or ())
            finally:
                if alarm is not None:
                    alarm.cancel()
                process.terminate()

    def _run(
        self, words: Sequence[str], *, stdin: str | None = None, apart: bool = False
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                self._argv(words),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                check=False,
                start_new_session=apart,
                env=_env(self.environment),
            )
        except FileNotFoundError as error:
            raise KubectlError(_MISSING) from error

    def _argv(self, words: Sequence[str]) -> list[str]:
        return [self.program, *self.flags, *words]


def _env(environment: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if environment is None else dict(environment)


def _documents(stream: Iterable[str]) -> Iterator[Document]:
    """Split kubectl's lines, where one pretty-printed object follows another, into objects."""
    decoder = json.JSONDecoder()
    text = ""
    for line in stream:
        text += line
        if line.rstrip() != "}":
            continue
        found, _ = decoder.raw_decode(text)
        text = ""
        yield found


def _error(stderr: str) -> KubectlError:
    match = _SERVER_ERROR.search(stderr)
    if match is None:
        return KubectlError(stderr.strip() or "kubectl failed and said nothing")
    message = match["message"].strip()
    kinds = {"NotFound": NotFoundError, "Forbidden": ForbiddenError}
    return kinds.get(match["reason"] or "", KubectlError)(message)
