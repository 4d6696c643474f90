"""What `hack/test` and `hack/check` do: set up, run, count, and say in one table what was proved and what was not.

Why it exists: pytest knows one process; a run here is several, each with its own part of the lab, and a
skip that hides a missing part must not look like success. Needs pytest only inside the runs it starts.
"""
