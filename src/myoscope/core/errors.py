"""What can go wrong, in the reader's language.

Every error that reaches a user is one sentence with the file, the value and the likely cause. The
command line prints it as it stands; nothing else is printed unless ``--debug`` asks for the traceback.
"""


class MyoscopeError(Exception):
    """Something the user can understand and usually put right."""


class UnreadableFile(MyoscopeError):
    """A file that cannot be read as what it claims to be."""


class UnsupportedFile(MyoscopeError):
    """A file that is sound but not something that can be analysed here."""


class InvalidValue(MyoscopeError, ValueError):
    """A value outside what its meaning allows."""


class UnitMismatch(InvalidValue):
    """A quantity in another unit than the one that is needed."""


class GeometryMismatch(InvalidValue):
    """Two images that should share a place and do not."""


class HeartNotFound(MyoscopeError):
    """No left ventricle could be located; the sentence says why."""


class OutputError(MyoscopeError):
    """A result that could not be written."""


class WorkerDied(MyoscopeError):
    """A process that helped ended unexpectedly, most often for want of memory."""


class NothingToAnalyse(MyoscopeError):
    """Nothing in the given paths can be used; the sentence says why."""


class MixedPatients(MyoscopeError):
    """Files of more than one patient where one is expected; the sentence names none of them."""
