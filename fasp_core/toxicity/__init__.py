"""What rates the texts.

Public names: `open_scorer`, `Scorer`, `score_texts`.
"""
