"""The settings of a stream, how they change and how they are kept."""
