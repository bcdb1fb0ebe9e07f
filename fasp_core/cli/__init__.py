"""The commands, a file each.

Public names: `app`.
"""
