"""Settings of the whole test run."""

from __future__ import annotations

from hypothesis import settings

# Compiled kernels make the first example slow: pytest's timeout is the deadline.
settings.register_profile("spinn2emu", deadline=None, database=None)
settings.load_profile("spinn2emu")
