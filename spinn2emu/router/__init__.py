"""The event router: ternary table, multicast replication, counters, and the gate that wakes PEs as seldom as possible."""
