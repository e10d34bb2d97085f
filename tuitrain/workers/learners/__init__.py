"""What a learner is made of: transitions in, weights out."""
