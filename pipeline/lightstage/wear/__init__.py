"""Glasses, head coverings and what else people wear."""
