"""The API: requests and responses as pure functions, a session that sends them, pagination."""
