"""Power and energy of the chip: state × power × time, over named configurations, always as intervals.

`power`: what a PE and the chip draw, from the measured table. `configurations`: who is at which level, off, asleep or
busy. `model`: usage and configuration give power and energy. What no source gives numbers for is absent (`ABSENT`).
"""
