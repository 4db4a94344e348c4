"""Browsers' cameras over WebRTC."""
