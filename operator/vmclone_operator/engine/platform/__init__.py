"""What the platform team declares: CloneBackends and CloneSources, and what is found that belongs to nobody."""
