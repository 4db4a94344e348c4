"""The tri-plane network and its checkpoint."""
