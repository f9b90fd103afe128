"""Writes the formulas of the shipped programs beside them: the body of scripts/count-cycles."""

from __future__ import annotations

import sys

from spinn2emu.cost import cost_file, write_cost
from spinn2host.arm import calibration
from spinn2host.arm.costs import count_shipped


def main(kinds: list[str]) -> None:
    """Counts the programs of these kinds, and says how well the formulas fit."""
    if unknown := [kind for kind in kinds if kind not in calibration.KINDS]:
        sys.exit(f"there is no {', '.join(unknown)}: take one of {', '.join(calibration.KINDS)}")
    for cost in count_shipped(kinds or list(calibration.KINDS)):
        file = cost_file(cost.program)
        assert file is not None
        write_cost(file, cost)
        print(cost.program, f"{cost.code_bytes:,} bytes of code")
        for phase, formula in cost.phases.items():
            fitted = f"rms {formula.rms:.1%}, others {formula.others:+.1%}"
            print(f"  {phase:<10}{formula.activations:>6} activations, {fitted}")


if __name__ == "__main__":
    main(sys.argv[1:])
