"""Decisions and contracts: pure values and functions, no I/O, no clock, no framework."""
