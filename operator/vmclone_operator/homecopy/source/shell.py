"""rsync's way to its other end: ssh, whose first words may be a login shell's and are passed over.

A `.bashrc` is read for ssh commands too, and one that greets would break rsync's protocol. So the far side says READY
on a line of its own when rsync begins there; what comes before is dropped. Only answers go through here: what rsync
sends goes to ssh directly. Run as a program: `python3 -I -c THIS CONFIG HOST COMMAND...`.
"""

# Runs on the source, on Python 3.6.

import os
import subprocess
import sys
from io import BufferedReader
from typing import cast

READY = "@vmclone-ready"
_LONGEST_GREETING = 1 << 20


def main() -> int:
    """Run ssh and hand its answers on."""
    ssh = subprocess.Popen(["ssh", "-F", *sys.argv[1:]], stdout=subprocess.PIPE)
    answers = cast(BufferedReader, ssh.stdout)
    passed_over = 0
    for line in iter(lambda: answers.readline(_LONGEST_GREETING), b""):
        passed_over += len(line)
        if line.endswith(READY.encode() + b"\n"):
            _hand_on(answers)
            break
        if passed_over > _LONGEST_GREETING:
            ssh.terminate()
    return ssh.wait()


def _hand_on(answers: BufferedReader) -> None:
    for block in iter(lambda: answers.read1(1 << 16), b""):
        rest = block
        while rest:
            rest = rest[os.write(sys.stdout.fileno(), rest) :]


if __name__ == "__main__":
    sys.exit(main())
