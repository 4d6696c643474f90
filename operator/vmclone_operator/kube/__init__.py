"""The Kubernetes API as the engine sees it; the only folder that imports the kubernetes client."""
