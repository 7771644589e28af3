"""The function that turns change events into deltas."""
