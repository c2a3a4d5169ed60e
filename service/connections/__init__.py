"""What the service does with connections and bytes before and beside the web framework."""
