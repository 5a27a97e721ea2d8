"""How a drawn frame reaches the window system."""
