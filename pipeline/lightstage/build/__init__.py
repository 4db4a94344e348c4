"""Builds the asset pack and the landmark correspondence from their sources.

May import every room but `clips` and `ground_truth`.
"""
