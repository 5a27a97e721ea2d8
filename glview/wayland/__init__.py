"""What Wayland says that GLFW does not pass on. Without windows and without GLFW."""
