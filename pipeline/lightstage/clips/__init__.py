"""Animated clips with all their channels, one by one or as a stream.

May import every room but `build` and `ground_truth`.
"""
