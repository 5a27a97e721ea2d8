"""Ask the X server, on the connection that GLFW has, for state that GLFW leaves out."""
