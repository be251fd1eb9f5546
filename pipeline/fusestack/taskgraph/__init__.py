"""Execution: batches of blocks on any executor, a ledger of what is done, a lock, events.

Knows `Stage` and `Grid`, nothing of fusion or focus. Data never travels between tasks: a task reads storage,
computes, and writes whole blocks, so it can be retried, moved, killed and repeated.
"""
