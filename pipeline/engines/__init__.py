"""The relighting engines: one folder each, none of which another needs."""
