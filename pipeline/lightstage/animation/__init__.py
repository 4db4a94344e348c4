"""Poses over time: head, gaze, blinks and speech.

Imports no other room.
"""
