"""What is held of Kubernetes objects: the cache, whose is whose, and lines that the cache keeps up to date."""
