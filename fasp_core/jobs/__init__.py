"""Processes that outlive a page.

Public names: `start_job`, `list_jobs`, `EvaluationClient`.
"""
