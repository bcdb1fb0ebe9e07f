"""What pruning a set of heads does, measured, kept and found again.

Public names: `evaluate`, `Evaluation`, `measured_sets`, `failure_signatures`.
"""
