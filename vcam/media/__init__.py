"""Image and video files, and what fits their pictures into frames."""
