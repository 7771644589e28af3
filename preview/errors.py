"""Why there is no preview."""


class Interrupted(Exception):
    """Somebody ended the reading; the message says how far it was."""


class CannotPreview(Exception):
    """The preview cannot be made; the message says what is wrong and what to do about it."""
