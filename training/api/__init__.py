"""The ground floor over HTTP, below /api/v1/: people, machine work, and what came of it."""
