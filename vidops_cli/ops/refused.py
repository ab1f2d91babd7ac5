"""What cannot be, told so that it reads well under a traceback. Imports no torch."""


class Refused(ValueError):
    """`args` are the message and the hint that the command line prints after `error:` and `hint:`."""

    def __str__(self) -> str:
        message, *hint = map(str, self.args)
        return message + (f"\nhint: {hint[0]}" if hint else "")
