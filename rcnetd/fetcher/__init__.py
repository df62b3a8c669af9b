"""The unprivileged process that runs the API client, its protocol, and its parent's side."""
