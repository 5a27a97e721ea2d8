"""What GLFW does not tell of an X server, asked on the connection that GLFW has."""
