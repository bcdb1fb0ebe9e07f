"""The folder that keeps all measurements, and its views as tables and scores. No torch.

Public names: `Study`, `open_study`, `list_studies`, `import_scores`.
"""
