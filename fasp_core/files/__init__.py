"""Read what others wrote, within bounds; write ours whole or not at all.

Public names: `read_text`, `open_csv`, `write_atomic`, `new_folder`, `cache_root`.
"""
