"""Parent of libvirtd that collects its orphans: run as a program of its own.

QEMU and libvirt's probes daemonize, so they become children of the machine's first process.
Where that one collects ended children only now and then, libvirt waits for their pids to
vanish: each destroy took up to 45 s, measured. A child subreaper collects them at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main(argv: list[str]) -> int:
    """Run `argv` and stay until it and all processes that it left behind have ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    # It leaves last. A handler, because an ignored signal would stay ignored in libvirtd.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    subprocess.Popen(argv, restore_signals=True)  # collected below, like the others
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
