"""The pass of one VMCloneReplica: gather its situation, decide, carry out one step, write what is so."""
