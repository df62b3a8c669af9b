"""What the platform says about this server."""
