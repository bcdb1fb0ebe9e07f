"""Fill a study within a budget.

Public names: `score_heads`, `Budget`, `estimate_run`, `rescore_study`.
"""
