"""The errors that end a command with one clear line instead of a traceback."""


class PlumblineError(Exception):
    """Something went wrong that the reader can act on; the text is one line and says what to do. Exit code 1."""

    exit_code = 1


class ConfigurationError(PlumblineError):
    """plumbline.yaml, the environment or the reference folder is wrong. Exit code 2."""

    exit_code = 2


class GateRefused(PlumblineError):
    """The quality gate did not pass, so nothing was published. Exit code 3."""

    exit_code = 3
