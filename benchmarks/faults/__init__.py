"""The fault loop, see `__main__`."""
