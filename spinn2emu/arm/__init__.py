"""The same programs as Cortex-M4F machine code: compiled, linked, executed, and their cycles counted."""
