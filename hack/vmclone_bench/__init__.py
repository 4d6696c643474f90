"""What vmclone costs: each benchmark runs what is ours and what it is measured against in turn, in one run.

A ratio of two that took turns holds on a machine that others use as well; a single time does not. For example,
`hack/bench linked` makes ten clones with our adapter, then with `qemu-img create -b` and `virsh define`, then again.
"""
