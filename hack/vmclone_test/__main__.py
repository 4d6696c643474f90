"""Makes `python3 -m vmclone_test` the test command."""

import sys

from vmclone_test.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
