"""The function that carries the stream to StackState's receiver."""
