"""Generates the checked-in files that follow from the models, so that schema, docs and code cannot disagree."""
