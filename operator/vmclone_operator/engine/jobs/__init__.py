"""The Jobs that copy homes, and why their pods do not start."""
