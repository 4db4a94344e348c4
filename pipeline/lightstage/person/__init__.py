"""Who a person is, and the posable figure made of it.

May import `wear`, `surface`, `animation`, `assets` and `core`.
"""
