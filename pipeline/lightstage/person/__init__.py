"""Who a person is, and the posable figure made of it."""
