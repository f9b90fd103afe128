"""The chip as a set of processes: the supervisor, the router, the PEs, and the memory that the host can address."""
