"""The source: who may use it, what it is, its power, its frozen points, and turns at it."""
