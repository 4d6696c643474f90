"""Turns a kept scanner's rules into the data that the home copy's filter reads on a source and in a clone."""
