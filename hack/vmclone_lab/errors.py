"""The one error a user of the lab sees: a sentence saying what to do, never a traceback."""


class LabError(Exception):
    """A step of the lab failed for a reason that its message explains."""
