"""What the operator tells of itself: metrics and probes, kept away from the engine, which only calls a `Meter`."""
