"""What is written down of actions: attempts, runs of guest tasks, and how a status is written."""
