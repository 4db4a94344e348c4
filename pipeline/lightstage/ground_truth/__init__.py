"""Reference renders of the test split by mitsuba and Cycles.

May import every room but `build` and `clips`, and writes the format of
`pipeline.evaluate.ground_truth`.
"""
