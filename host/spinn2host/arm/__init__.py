"""The chip's programs as Cortex-M4 code, from the host's side: recorded activations, their check, what a program is."""
