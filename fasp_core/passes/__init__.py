"""What is computed with a model: gradients, knock-outs, samples, log-odds.

Public names: `knockout_log_ratios`, `gradient_log_ratios`, `sample_continuations`.
"""
