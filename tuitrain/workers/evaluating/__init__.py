"""What an evaluator is made of: greedy episodes, and the best weights so far."""
