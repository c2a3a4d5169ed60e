"""What goes on while the service is watched."""
