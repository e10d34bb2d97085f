"""The questions and explanations that open over the screen."""
