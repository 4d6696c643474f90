"""When a pass runs: the queue, what wakes it, and who waits for room."""
