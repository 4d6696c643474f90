"""The backends: one folder each, all behind the contract of `domain.backend`, none aware of another."""
