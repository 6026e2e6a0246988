"""HTTP: messages, the transport, its connections, and when to retry."""
