"""Distant lightings, and how they are drawn."""
