"""What rows of several tasks are measured with."""
