"""Windows, input and text on screen."""
