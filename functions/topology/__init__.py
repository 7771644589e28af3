"""What the three functions share: how AWS is read, what is made of it, and how it reaches StackState."""

# The one place of the version for code; a test compares it with the templates and pyproject.toml.
VERSION = "0.2.0"
