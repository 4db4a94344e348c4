"""From a change of light to a picture: safe gains, edges, frame x gain."""
