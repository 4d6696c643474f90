"""Checks of the Helm chart that need no cluster."""
