"""spinn2fw: programs that run on the emulated PEs, and the kernels that they are made of."""
