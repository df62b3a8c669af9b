"""Every decision: events in, actions out. Pure."""
