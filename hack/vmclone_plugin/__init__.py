"""Makes what people download: `kubectl-vmclone` as one file that any Python 3.11 runs, and its krew manifest."""
