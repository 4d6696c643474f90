"""Gather and act: one level-triggered pass per object, driven by a work queue."""
