"""The event router: ternary table, replication, counters, and the gate that wakes PEs as seldom as possible."""
