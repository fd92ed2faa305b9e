"""A job in units on a cluster of machines that Ray looks after; Ray loads when asked for."""
