"""The processing element: a process that runs a program's ticks over its SRAM and talks in frames."""
