"""What all endpoints and pages share: bodies, threads, errors, streams."""
