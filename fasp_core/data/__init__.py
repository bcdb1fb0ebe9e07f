"""What the model is given: prompts, text, pairs.

Public names: `load_prompts`, `load_text`, `load_pairs`, `PromptSet`, `TextSet`.
"""
