"""Plan and ledgers -> outputs: what exists, what may be replaced, records, locks."""
