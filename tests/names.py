"""Names of parametrised tests."""


def name_of(parameter: object) -> str:
    """Return the same name in every process: the workers of `-n auto` must agree on the tests' names."""
    return "function" if callable(parameter) else repr(parameter)
