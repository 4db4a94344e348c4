"""ReferenceRenderer renders of the test split by mitsuba and Cycles.

May import every room but `build`, `clips` and `render`, and writes the format of
`pipeline.evaluate.ground_truth`.
"""
