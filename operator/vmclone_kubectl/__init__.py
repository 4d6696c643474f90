"""`kubectl vmclone`: what people ask and do about their clones, without reading YAML.

The program is a kubectl plugin and `kubectl` itself is its transport: every way to log in, `--context` and `--as`
work, and it has no rights beyond those of the person who runs it. It reads the fields of the API and knows nothing of
the operator's insides, so a plugin and an operator of different releases work together.

    documents   what the fields say                        (pure)
    why         the causes of what is wrong, with the fix   (pure)
    trial       what a manifest would do                    (pure)
    lines       what a terminal shows                       (pure)
    kubectl     the calls, and the errors of the API server
    commands    one module for each group of commands
"""
