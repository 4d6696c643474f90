"""The conversation on the source: scan, report, then send or hold, one JSON document per line.

The relay's documents come on standard input; when that ends, whatever runs here is ended and the private folder
removed. Answers carry a mark with the secret of this run: a login shell may print anything, also what looks like ours.
"""

# Runs on the source, on Python 3.6: no newer typing, and plain os functions.
# ruff: noqa: UP006, UP035, PTH111, PTH112, PTH114, PTH118, PTH123, PTH208, PTH211

import base64
import fcntl
import json
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
import zlib
from typing import Any, Callable, Dict, List

from vmclone_operator.homecopy.source.again import JUDGED, TREES, SecondLook
from vmclone_operator.homecopy.source.environment import agent_with, clean
from vmclone_operator.homecopy.source.guard import PLACE, Guard
from vmclone_operator.homecopy.source.pipes import PipeWatch
from vmclone_operator.homecopy.source.scan import PathRefused, Scan
from vmclone_operator.homecopy.source.send import installed_rsync, rsync_command, run_rsync, write_clone_config

MARK = "@vmclone-"
"""Stands before each answer, then the run's secret."""
SILENCE_SECONDS = 120.0
"""The relay tells every few seconds that it is there; after this long without, everything here is ended."""
PREFIX = "vmclone-home-"
_TELL_SECONDS = 5.0
_DEEP_FOLDERS = 20_000
"""Standard functions make and remove folders in one another by recursion."""
_PART_BYTES = 256 * 1024
_LEAST_RSYNC = (3, 2)
_NO_AGENT = (
    "the source's sshd forwards no agent that can be found (AllowAgentForwarding no, or its socket is where we do not"
    " look); the source's owner can set home.transfer: Staged"
)


class Conversation:
    """Reads the relay's documents beside the work, so that its end is noticed at once."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self.mark = ""
        self._heard = heard
        self._documents: queue.Queue[Dict[str, Any]] = queue.Queue()
        self._on_end: List[Callable[[], None]] = []
        self._ended = False
        self._last_told = 0.0
        self._speaking = threading.Lock()

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self) -> Dict[str, Any]:
        """Return the relay's next document; an empty one when it went away."""
        return self._documents.get()

    def on_end(self, action: Callable[[], None]) -> None:
        """Call this when the relay goes away; at once when it already did."""
        self._on_end.append(action)
        if self._ended:
            action()

    def say(self, event: str, document: Dict[str, Any]) -> None:
        """Answer with one line."""
        line = self.line(event, document)
        with self._speaking:
            sys.stdout.write(line)
            sys.stdout.flush()

    def line(self, event: str, document: Dict[str, Any]) -> str:
        """Return an answer as it is written."""
        return f"{MARK}{self.mark} {json.dumps(dict(document, event=event), sort_keys=True)}\n"

    def say_progress(self, document: Dict[str, Any]) -> None:
        """Answer with progress, at most every few seconds."""
        now = time.monotonic()
        if now - self._last_told >= _TELL_SECONDS:
            self._last_told = now
            self.say("progress", document)

    def _listen(self) -> None:
        for line in iter(sys.stdin.buffer.readline, b""):
            self._heard()
            document = json.loads(line.decode())
            if document.get("action") != "alive":
                self._documents.put(document)
        self._ended = True
        self._documents.put({})
        for action in self._on_end:
            action()


def remove_stale_folders() -> None:
    """Remove the folders of killed runs: those whose lock nobody holds."""
    base = tempfile.gettempdir()
    for name in os.listdir(base):
        folder = os.path.join(base, name)
        if name.startswith(PREFIX) and not os.path.islink(folder) and os.lstat(folder).st_uid == os.getuid():
            _remove_unless_held(folder)


def _remove_unless_held(folder: str) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return
    finally:
        os.close(handle)


def main() -> int:
    """Hold one conversation; the exit code only tells whether it came to its end."""
    os.umask(0o077)
    sys.setrecursionlimit(_DEEP_FOLDERS)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the end of our input tells us, after rsync is ended in order
    remove_stale_folders()
    folder = tempfile.mkdtemp(prefix=PREFIX)
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    guard = Guard(folder, SILENCE_SECONDS, not_for_guard=lock)
    conversation = Conversation(guard.pulse)
    try:
        conversation.start()
        _converse(conversation, guard, folder)
    except PathRefused as refusal:
        conversation.say("refused", {"message": str(refusal)})
    except BrokenPipeError:
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
    return 0


def _converse(conversation: Conversation, guard: Guard, folder: str) -> None:
    parameters = conversation.next()
    if not parameters:
        return
    conversation.mark = str(parameters["secret"])
    stuck = f"the scan came to no end at {PLACE}: move it out of the home or name it in excludes"
    guard.say_when_stuck(conversation.line("refused", {"message": stuck}).encode())
    version = installed_rsync(clean(folder))
    if version is None or version[:2] < _LEAST_RSYNC:
        conversation.say("refused", {"message": "the source needs rsync 3.2 or newer"})
        return
    home = os.path.expanduser(parameters["home"] or "~")
    if not os.path.isdir(home):
        conversation.say("refused", {"message": "the home directory is not there on the source"})
        return
    os.symlink(os.path.realpath(home), os.path.join(folder, "home"))
    with open(os.path.join(folder, "list"), "wb") as names, open(os.path.join(folder, "judged"), "wb") as judged:
        scan = Scan(os.fsencode(home), parameters, names, judged, at=guard.at)
        _run(scan, parameters["paths"], conversation)
    conversation.say("scanned", dict(scan.summary(), folder=folder))
    pipes = PipeWatch(os.path.realpath(os.fsencode(home)), os.path.join(folder, "list"))
    pipes.start()
    _Orders(conversation, folder, SecondLook(scan, os.fsencode(home), parameters, folder)).run()
    pipes.end()


class _Orders:
    """Carries out what the relay asks for after the scan, one after the other, until it goes."""

    def __init__(self, conversation: Conversation, folder: str, second_look: SecondLook) -> None:
        self._conversation, self._folder, self._second_look = conversation, folder, second_look
        self._paths: List[bytes] = []

    def run(self) -> None:
        """Read until there is no more."""
        order = self._conversation.next()
        while order:
            action = order["action"]
            if action == "list":
                self._tell_judged("judged")
            elif action == "paths":
                self._paths += [base64.b64decode(path) for path in order["paths"]]
            elif action == "again":
                self._again(last=order["last"])
            elif action == "send":
                self._send(order)
            order = self._conversation.next()

    def _tell_judged(self, name: str) -> None:
        """Tell the list with what each entry was; the relay hands the parts on to the clone unopened."""
        with open(os.path.join(self._folder, name), "rb") as file:
            for block in iter(lambda: file.read(_PART_BYTES), b""):
                data = base64.b64encode(zlib.compress(block, 1)).decode()
                self._conversation.say("judged", {"data": data})
        self._conversation.say("listed", {})

    def _again(self, *, last: bool) -> None:
        paths, self._paths = self._paths, []
        document = self._second_look.run(paths, last=last)
        self._tell_judged(JUDGED)
        self._conversation.say("again", document)

    def _send(self, order: Dict[str, Any]) -> None:
        agent = agent_with(order["key"])
        if agent is None:
            self._conversation.say("refused", {"message": _NO_AGENT})
            return
        write_clone_config(self._folder, order["clone"])
        command = rsync_command(self._folder, order)
        # Both are names of ours, checked all the same: they stand in an argument.
        tree, names = TREES[order["tree"]]
        command += ["--files-from=" + os.path.join(self._folder, names), "--from0"]
        command += [os.path.join(self._folder, tree) + "/", "vmclone-clone:."]
        told, cut = self._conversation.say_progress, self._conversation.on_end
        self._conversation.say("sent", run_rsync(command, told, cut, clean(self._folder, agent)))


def _run(scan: Scan, paths: List[str], conversation: Conversation) -> None:
    """Scan, and tell beside it how far it is."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(_TELL_SECONDS):
            try:
                conversation.say("scanning", scan.so_far())
            except BrokenPipeError:
                return  # the relay went away; the conversation's end says so

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        scan.run(paths)
    finally:
        over.set()
        teller.join()
