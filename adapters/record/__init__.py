"""A record of a patient in JSON, whatever protocol brought it: the paths in it, and its mapping to statements."""
