"""Clones on Azure, as Microsoft's own asyncio clients make them. Loaded only where the extra `azure` is installed."""
