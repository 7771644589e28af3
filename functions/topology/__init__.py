"""What the three functions share: how AWS is read, what is made of it, and how it reaches StackState."""
