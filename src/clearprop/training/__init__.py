"""Training: the loop, its data, targets, callbacks, history, metrics and penalties."""

__all__: list[str] = []
