"""A card that is emulated on the CPU, for those who have none: correct, and slow."""
