"""Benchmarks: what a snapshot costs in calls, time and memory, beside the least that it could cost."""
