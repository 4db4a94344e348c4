"""Poses over time: head, gaze, blinks and speech.

May import `core`.
"""
