"""Wayland events that GLFW does not pass on, by ctypes; independent of GLFW and windows."""
