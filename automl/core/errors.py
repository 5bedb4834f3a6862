"""Every refusal: the rule, the value, the way out."""


class AutoMLError(Exception):
    """Something that the user should read without a traceback."""

    exit_code = 1


class InputError(AutoMLError, ValueError):
    """The user's input breaks a rule."""

    exit_code = 2


class BudgetError(InputError):
    """A budget does not parse, or no policy can meet it."""


class ModelError(InputError):
    """A model name, factory or network cannot be used."""


class WeightsError(InputError):
    """A weights file cannot be read, or does not fit the network."""


class DataError(InputError):
    """A data set cannot be read, or is too small to split."""


class TraceError(InputError):
    """The network's forward pass cannot be followed."""


class PolicyError(InputError):
    """A compression policy does not fit the graph, or its file is not one."""


class RunError(InputError):
    """A run's name, folder or fingerprint is wrong."""


class StorageError(AutoMLError):
    """The disk is full, or the database does not answer; the run can be resumed once they do."""


class ExportError(AutoMLError):
    """What was exported does not compute what the network computes."""


class SearchError(AutoMLError):
    """The search cannot go on."""


class LostProcessError(AutoMLError):
    """Another process of a training in several processes has ended; the run can be resumed."""


class NoFeasiblePolicyError(AutoMLError):
    """No policy was found that meets every budget."""

    exit_code = 3


class InterruptedRunError(AutoMLError):
    """The user stopped the run; it can be resumed."""

    exit_code = 130
