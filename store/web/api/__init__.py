"""The API: what senders, operators and facesheets call."""
