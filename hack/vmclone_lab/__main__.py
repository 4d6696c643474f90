"""Makes `python3 -m vmclone_lab` the lab command."""

import sys

from vmclone_lab.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
