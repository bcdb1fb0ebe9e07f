"""The table of head scores, and which heads it prunes. No torch.

Public names: `HeadScores`, `read_head_scores`, `select_heads`, `Selection`, `axis_correlations`.
"""
