"""Image and video files, and what fits their images into frames."""
