"""The graph: what is received, what is owed, what is read."""
