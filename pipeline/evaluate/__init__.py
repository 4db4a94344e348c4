"""How well a method relights, measured against rendered ground truth and on real media.

May import all of the pipeline but `lightstage` and `train`: it reads what the light stage wrote.
"""
