"""What is said to a clone's guest: its identity, who may log in, and why it does not boot."""
