"""Digits and sentences for people.

Public names: `format_estimate`, `describe_reliability`, `spoken_bytes`.
"""
