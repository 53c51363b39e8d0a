"""What the classes of several frameworks share. Nothing here imports a framework."""
