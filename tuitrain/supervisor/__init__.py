"""The asyncio process that starts, watches and stops the workers; imports no torch."""
