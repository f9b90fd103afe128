"""Plain compiled kernels: arithmetic only, no packets. The programs and the off-chip simulator call the same ones."""
