"""Makes `python3 -m vmclone_proxmox` the command."""

import sys

from vmclone_proxmox.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
