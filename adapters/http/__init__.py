"""One way to talk to an EMR over HTTP: connections, authentication, retries, budget and limits."""
