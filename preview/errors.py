"""Why there is no preview."""


class CannotPreview(Exception):
    """The preview cannot be made; the message says what is wrong and what to do about it."""
