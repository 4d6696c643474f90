"""Lets `python -m vmclone_kubectl` and the zipapp run the program."""

from __future__ import annotations

from vmclone_kubectl.app import main

if __name__ == "__main__":
    main()
