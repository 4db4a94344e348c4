"""From a change of light to an image: safe gains, soft edges, frame x gain in linear light."""
