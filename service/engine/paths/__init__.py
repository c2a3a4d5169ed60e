"""The exact ways to compute a batch, and the choice between them by measured cost."""
