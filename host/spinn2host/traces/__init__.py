"""Traces as the host looks at them: a language to choose events, lines, statistics, differences, other formats."""
