"""Carries the source's home to a clone without its secrets: the filter, the relay and the Job that runs it."""
