"""The faults a person can mend. Each carries one Danish sentence: what, where, what to do."""


class Fault(Exception):
    """The input or the state is at fault; commands print the sentence and end with exit code 1."""


class UsageFault(Fault):
    """The command was given the wrong words; commands end with exit code 2."""


class InputFault(Fault):
    """A file or value that was handed in cannot be used."""


class StateFault(Fault):
    """The instance is not in a state where this can be done."""


class ParameterMissing(Fault):
    """A dated parameter has no value on the day it is needed; last year's is never used in silence."""
