"""What an actor is made of: observations in, transitions out."""
