"""A home full of secrets whose places and shapes come from lists that are not ours, and what a filter leaves of it.

`shapes.tsv` holds one canary a line: source, family, place and shape. A place is where a tool keeps it; `-` means that
the content lies in a file with a harmless name. A shape is a regular expression of the list: the value is made from it.
"""
