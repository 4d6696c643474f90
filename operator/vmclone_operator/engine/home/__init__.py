"""A replica's home copy: what is known of it, and its steps."""
