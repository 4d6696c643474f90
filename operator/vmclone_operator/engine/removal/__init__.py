"""Removal: a replica's VM, then a VMClone's frozen points, each proven gone before its finalizer goes."""
