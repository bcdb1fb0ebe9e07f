"""Open a model, find its heads, gate them, cut them out.

Public names: `open_model`, `LanguageModel`, `HeadLayout`, `gate_heads`, `remove_heads`.
"""
