"""Benchmarks: `make bench`. Figures of one machine and one run; read them as ratios."""
