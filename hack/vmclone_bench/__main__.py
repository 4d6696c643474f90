"""Makes `python3 -m vmclone_bench` the benchmark command."""

import sys

from vmclone_bench.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
