"""The cameras and virtual cameras of this machine."""
