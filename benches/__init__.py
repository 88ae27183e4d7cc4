"""Benchmarks: `make bench` runs them all and merges their figures into results/summary.json."""
