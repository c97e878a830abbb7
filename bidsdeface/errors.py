"""The errors this program tells a person about, as opposed to its own faults.

The message of each is one line that names the file, the cause and the way out. It is shown as it
is, without a traceback. A subclass exists only where somebody catches it apart from the others.
"""


class BidsdefaceError(Exception):
    """Something a person can put right."""


class UsageError(BidsdefaceError):
    """What was asked for on the command line cannot be done as asked."""


class ImageError(BidsdefaceError):
    """An image file that cannot be read, understood or written."""


class RegistrationError(BidsdefaceError):
    """A scan and a template that could not be brought together."""


class TemplateError(BidsdefaceError):
    """A template that is missing, incomplete or not what it says it is."""
