"""The route in the host's own network configuration, and the way back."""
