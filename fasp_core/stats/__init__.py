"""Samples in, estimates with errors out. Numpy and scipy only.

Public names: `Estimate`, `axis_bias`, `head_effects`, `perplexity_effects`.
"""
