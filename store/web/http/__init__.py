"""What every call and page shares: bodies, threads, errors, streams."""
