"""Methods side by side.

Public names: `run_comparison`, `ComparisonTable`, `measure_interactions`.
"""
