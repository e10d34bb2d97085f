"""The state of an environment as plain values, and an environment made to have it again."""
