"""A client of the RackConnect API."""
