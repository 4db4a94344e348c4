"""Who is where in the image: face landmarks and the person mask, followed over time."""
