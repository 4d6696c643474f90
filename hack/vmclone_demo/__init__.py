"""The demo: the lab, a running source, the operator as a process, and a manifest that becomes three clones."""
