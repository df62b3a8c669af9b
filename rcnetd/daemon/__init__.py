"""rcnetd(8): the select loop, and what it tells systemd."""
