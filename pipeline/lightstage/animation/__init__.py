"""Poses over time: head, gaze, blinks, speech."""
