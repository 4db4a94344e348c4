"""The frame loop: from a source through an engine to the sinks."""
