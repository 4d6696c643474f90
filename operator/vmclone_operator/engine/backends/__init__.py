"""Open connections to backends, which host they lead to, and when a VM is gone."""
