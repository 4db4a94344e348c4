"""What every room of the pipeline uses: image types, colour, resampling, timing."""
