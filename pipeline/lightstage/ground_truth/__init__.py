"""Reference renders of held-out people by mitsuba and Cycles."""
