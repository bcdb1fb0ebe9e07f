"""The choice to keep: configuration, report, checkpoint, and the proof that it works.

Public names: `PruningConfig`, `export_checkpoint`, `load_pruned`, `verify_checkpoint`, `html_report`.
"""
