"""What runs inside a worker process, and how it talks to the supervisor."""
